/**
 * Every protocol-wide size and time, so that two ends never disagree about what is too much.
 * A limit is checked before memory is taken for what it limits.
 */
import { MAX_FRAME_TENSORS } from '../src/backbone/frames.ts'

/** One message on a stream. A batch of 512 x 64 tokens x 128 floats is 16 MiB. */
export const MAX_FRAME_BYTES = 16 * 1024 * 1024
/** Control part of a message: 64 losses, 64 scores and a full round report come to about 50 KiB. */
export const MAX_HEADER_BYTES = 64 * 1024
/** An attach request or its answer: 64 task names of 64 bytes come to 4.2 KiB. */
export const MAX_ATTACH_BYTES = 16 * 1024
/** One chunk of a blob: as DESIGN.md has it, large enough for full speed, small enough to ask again for. */
export const BLOB_CHUNK_BYTES = 1024 * 1024
/** A blob response around its chunk, or a manifest: 1024 chunk hashes take 68 KiB. */
export const MAX_BLOB_MESSAGE_BYTES = BLOB_CHUNK_BYTES + 128 * 1024
/** A blob request: a hash of 66 bytes and a number. */
export const MAX_BLOB_REQUEST_BYTES = 128
/** Largest blob: 1024 chunks, four times the largest trunk that a 2-core host can train. */
export const MAX_BLOB_BYTES = 1024 * BLOB_CHUNK_BYTES
/** A delta that rides in its gossip message; a larger one is fetched by its hash. */
export const MAX_INLINE_BYTES = 64 * 1024
/** One gossip message: an inline delta and 32 KiB of manifest. */
export const MAX_GOSSIP_BYTES = MAX_INLINE_BYTES + 32 * 1024
/** A host card: 8 addresses and a few names stay under 4 KiB. */
export const MAX_CARD_BYTES = 4 * 1024
/**
 * One gossip RPC, the library's hard-coded outbound limit. A receiver that meets a larger one drops the sender silently
 * and for good, so publishing is refused far below it: 42 of the largest messages fit into one RPC.
 */
export const MAX_GOSSIP_RPC_BYTES = 4 * 1024 * 1024
/** A row of 64 tasks, 32 KiB of cells and 5 KiB of names; a claim about the rows of 256 sites is as large. */
export const MAX_AFFINITY_BYTES = 40 * 1024
/** A model's card: 8 tasks with their label spaces, 4 addresses and the hashes stay under 1 KiB. */
export const MAX_BENCH_CARD_BYTES = 1024
/** Addresses on a model's card: of each, half of what a host card has, to fit. */
export const MAX_BENCH_ADDRESSES = 4

/** Entries in one beat or one page of a sync: a log of a year fits into one page. */
export const MAX_ENTRIES_PER_MESSAGE = 512
/** One page of a sync, and the answer to a knock: eight of the largest entries. */
export const MAX_SYNC_BYTES = 512 * 1024 + MAX_HEADER_BYTES
/** Concurrent ends of a member log that one message names; as many as one entry may join. */
export const MAX_HEADS = 16
/** A sync request: 16 hashes of 66 bytes, another one and a number come to 1.2 KiB. */
export const MAX_SYNC_REQUEST_BYTES = 2 * 1024
/** Pages of one sync: three times what the largest log has in entries of 300 bytes. */
export const MAX_SYNC_PAGES = 64

/** Tensors in one message. */
export const MAX_TENSORS = MAX_FRAME_TENSORS
/** Axes of one tensor; images with batch, time and channel need 5. */
export const MAX_RANK = 8
/** Bytes of a tensor's name, 'task/<id>' with an id of 58. */
export const MAX_TENSOR_NAME_BYTES = 64
/** Bytes of any other text. */
export const MAX_TEXT_BYTES = 256
/** Tasks of one client, losses and scores in one message. */
export const MAX_TASKS = 64
/** Peers listed in a round report or a delta's base. */
export const MAX_PEERS = 256
/** Reasons listed in a round report: 128 of 256 bytes are half a header. */
export const MAX_REASONS = 128
/** Addresses on a host card, and how many of a peer's are dialled (libp2p's own limit is 25). */
export const MAX_ADDRESSES = 8
/** Frames a client may have unanswered, whatever the host offers: 64 frames hide 300 ms at 5 ms a step. */
export const MAX_CREDITS = 64

/** A message that began to arrive must go on: 10 s, and then at 16 KiB/s, a third of the slowest link we serve. */
export const FRAME_STALL_MS = 10_000
export const FRAME_MIN_BYTES_PER_SECOND = 16 * 1024
/** Dial, open and answer of one small request; half of the 10 s in which a lost peer has to be noticed. */
export const REQUEST_TIMEOUT_MS = 5_000
/** What the other end gets to finish a stream that we closed. */
export const CLOSE_TIMEOUT_MS = 1_000
/** Bytes that may wait in a stream's send buffer before a writer waits: one window's worth at 100 MB/s and 10 ms. */
export const WRITE_HIGH_WATER_BYTES = 1024 * 1024
/** Bytes read ahead of the message being read. */
export const READ_AHEAD_BYTES = 1024 * 1024
/** Largest Yamux window: what a paused stream can still receive. 40 MB/s at 100 ms. */
export const STREAM_WINDOW_BYTES = 4 * 1024 * 1024
/** Frames and bytes a channel holds for a role that is busy; then the sender is held back. */
export const MAX_QUEUED_FRAMES = 64
export const MAX_QUEUED_BYTES = 2 * MAX_FRAME_BYTES
/** Streams of one protocol that one peer may hold; the library's limit is twice that, as its refusal is silent. */
export const STREAMS_PER_PEER = 8
/** From admission to the first message on the step stream. */
export const SESSION_OPEN_MS = 30_000
/** A host card is forgotten after that: three times the 10 s between cards. */
export const CARD_EXPIRY_MS = 30_000
/** One blob request, 1 MiB at 50 kB/s with 10 s to spare. */
export const BLOB_REQUEST_TIMEOUT_MS = 30_000
/** Requests one fetch keeps open at one provider: the next chunk is asked for while one arrives. */
export const BLOB_REQUESTS_PER_PROVIDER = 2
/** Providers asked for one blob, and unfinished blobs kept for a later try. */
export const MAX_BLOB_PROVIDERS = 8
export const MAX_PARTIAL_BLOBS = 4
/** After the first manifest of a blob, how long the other providers may take: four round trips of 60 ms. */
export const BLOB_MANIFEST_GRACE_MS = 250
/** Rounds that a manifest may be ahead of its host's last one: a day at 86 s a round. */
export const MAX_ROUND_LEAP = 1000
/** Rounds back in which a second delta of one host is recognised. */
export const ROUND_MEMORY = 64
/** "Can you dial me?" and the answer: 8 ports and an address are 100 bytes. */
export const MAX_REACH_BYTES = 1024
/** Dialling back, all ports together: a second less than who asks waits. */
export const DIAL_BACK_MS = REQUEST_TIMEOUT_MS - 1_000
/** Dial backs for others at the same time: each is a socket for up to DIAL_BACK_MS. */
export const DIAL_BACKS_AT_ONCE = 4

/** Peers whose use of a protocol is remembered: four times the connections that a node holds. 1024 come to 200 KiB. */
export const MAX_BUDGET_PEERS = 1024
/**
 * What one peer may ask of each protocol in a minute, requests and answers together in bytes. Who asks for more hears that
 * protocol's 'busy' until its budget has filled again. A node's calls to itself do not come this way.
 */
export const BUDGETS = {
  /** A client that is turned down asks 16 times in the first minute, after 0.25 s and then ever later, up to 5 s; and 16 times that for short trainings one after the other. */
  attach: { requestsPerMinute: 16 * 16, bytesPerMinute: 16 * 16 * 2 * MAX_ATTACH_BYTES },
  /** A newcomer asks once a second, and an invitation may be in the hands of 16 at once, all of one identity; each gets its page. */
  knock: { requestsPerMinute: 16 * 60, bytesPerMinute: 64 * MAX_SYNC_BYTES },
  /** A member whose log differs asks twice a second; twice in a minute it may need a whole log. */
  membership: { requestsPerMinute: 2 * (60 + MAX_SYNC_PAGES), bytesPerMinute: 2 * MAX_SYNC_PAGES * MAX_SYNC_BYTES },
  /** By gossip: three things to say, each repeated every 2 s. */
  affinity: { requestsPerMinute: 3 * 30, bytesPerMinute: 3 * 30 * MAX_AFFINITY_BYTES },
  /** By gossip: 8 models of a peer, each repeated every 2 s, and as many new versions. */
  bench: { requestsPerMinute: 8 * 2 * 30, bytesPerMinute: 8 * 2 * 30 * MAX_BENCH_CARD_BYTES },
  /** A node that cannot be reached asks every 5 s; as often again for a person who runs the doctor. */
  reach: { requestsPerMinute: 24, bytesPerMinute: 24 * 2 * MAX_REACH_BYTES },
  /**
   * The deltas of 8 hosts, each the largest blob, in 2 rounds a minute: 273 MiB/s for as long as it takes, which is more than
   * a provider was measured to give (250 MiB/s). Each chunk may be asked for twice.
   */
  blob: {
    requestsPerMinute: 2 * 2 * MAX_BLOB_PROVIDERS * (MAX_BLOB_BYTES / BLOB_CHUNK_BYTES + 1),
    bytesPerMinute: 2 * MAX_BLOB_PROVIDERS * MAX_BLOB_BYTES
  }
} as const

/** Lines about refused cards of one peer in a minute: enough to see what is wrong with it. */
export const BENCH_REFUSALS = { requestsPerMinute: 12, bytesPerMinute: 1 } as const
