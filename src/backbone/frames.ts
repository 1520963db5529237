/**
 * What a split client and its host say to each other, in one place. The simulator passes these objects through a
 * queue, the network encodes them (protocols/split-step); the roles cannot tell which.
 *
 *     client                              host
 *                                   <-    step     {step, unit values}    once the host's clock runs
 *     forward  {step, activations}  ->
 *                                   <-    features {step, features}
 *     grads    {step, dFeatures}    ->          one tensor, or one per task ('task/<id>')
 *                                   <-    emb-grad {step, dActivations}
 *     share    {step, unit grads}   ->          only for units that the charter shares
 *                                   <-    step     {step: the next one, unit values; code 'late' if it passed you by}
 *     a client that holds the whole model sends no forward and no grads, and answers an eval by itself:
 *     share    {step, unit changes} ->          what its local steps changed
 *                                   <-    step     {step: the next one, unit changes (code 'change') or unit values;
 *                                                   with attention an anchor of its own, as changes from the start values}
 *     every R steps:                <-    eval     {round, candidate, unit values}
 *     eval-forward {step: seq, candidate} ->
 *                                   <-    eval-features {step: seq, candidate}
 *     eval-result {round, scores}   ->
 *                                   <-    round    {round, report}
 */
import type { CodecName } from '../compression/index.ts'
import type { NamedTensor } from '../tensor/tensor.ts'

/** Tensors in one frame: two factors at each of 6 dense layers of 32 blocks come to 384, and 512 of their headers of 100 bytes to 50 KiB. */
export const MAX_FRAME_TENSORS = 512

export const CLIENT_FRAMES = ['forward', 'grads', 'share', 'eval-forward', 'eval-result', 'leave'] as const
export const HOST_FRAMES = ['features', 'emb-grad', 'step', 'eval', 'eval-features', 'round', 'pause', 'refused'] as const
export type FrameKind = typeof CLIENT_FRAMES[number] | typeof HOST_FRAMES[number]

/** Loss of one task on one batch, or on a hold-out. */
export interface TaskLoss {
  readonly task: string
  readonly loss: number
  readonly samples: number
}

/** A client's verdict on one candidate trunk, from its private hold-out. Differences are paired, row by row. */
export interface CandidateScore {
  readonly candidate: string
  readonly loss: number
  readonly samples: number
  /** mean(loss(candidate) - loss('own')) over hold-out rows, and its standard error. */
  readonly difference: number
  readonly standardError: number
}

/** What hosts' deltas of one round made of each other, as gradients of a step do. */
export interface HostConflicts {
  /** Whose delta was of use. */
  readonly hosts: number
  readonly pairs: number
  readonly conflictPairs: number
  readonly meanCosine: number
  readonly minCosine: number
  /** 1 - |d| / |plain mean|. */
  readonly removedShare: number
  /** min over hosts of d.delta / (|d||delta|), before the outer momentum. */
  readonly minDirectionCosine: number
  /** The rule found no answer of its own. */
  readonly fallback?: true
}

/** What projection did in one round, worst case over its steps. Travels to clients and into the summary. */
export interface RoundReport {
  readonly host: string
  readonly round: number
  readonly steps: number
  readonly seconds: number
  readonly contributors: readonly string[]
  /** Missing or late clients with the reason, 'client-2: no gradient within 5000 ms'. */
  readonly missing: readonly string[]
  readonly pairs: number
  readonly conflictPairs: number
  readonly meanCosine: number
  readonly minCosine: number
  /** 1 - |d| / |plain mean|, mean over steps. */
  readonly removedShare: number
  /** min over steps and tasks of d.g / (|d||g|): the projected gradient. */
  readonly minDirectionCosine: number
  /** The same for the step that the optimiser applied (weight decay apart). */
  readonly minUpdateCosine: number
  /** Steps whose rule found no answer of its own in the gradients and gave the one that its file names; absent: none. */
  readonly fallbacks?: number
  /** Hosts whose delta went into the merge, and what was decided. */
  readonly merged: readonly string[]
  readonly mergeReason: string
  /** Where two or more hosts' deltas of the trunk went into the merge. */
  readonly between?: HostConflicts
  readonly bytesUp: number
  readonly bytesDown: number
  readonly final: boolean
}

export interface Frame {
  readonly kind: FrameKind
  /** Step clock, 0-based; a sequence number in eval-forward / eval-features. */
  readonly step: number
  readonly round?: number
  /** Trunk an eval frame is about: 'own', another host's id (its delta merged into the own one), 'merged', or 'final'. */
  readonly candidate?: string
  readonly tensors: readonly NamedTensor[]
  /** How the tensors travel, where not as the channel was opened; a received frame does not say. */
  readonly codec?: CodecName
  readonly losses?: readonly TaskLoss[]
  readonly scores?: readonly CandidateScore[]
  readonly report?: RoundReport
  /** Stable code and the human reason of 'pause', 'refused', 'leave' and of a late 'step'; 'change' of a 'step' says what its tensors are. */
  readonly code?: string
  readonly reason?: string
}

/**
 * An ordered duplex of frames between one client and one host. `send` waits while the peer's credits are used up.
 * A frame that was handed to `send` may be on its way long after: its tensors are read where they stand, so they must
 * neither change nor be moved to another thread from then on. Both ends may close; `frames` then ends, or throws why.
 */
export interface FrameChannel {
  readonly peer: string
  send (frame: Frame, options?: { signal?: AbortSignal }): Promise<void>
  readonly frames: AsyncIterable<Frame>
  close (reason?: Error): Promise<void>
  /** Payload bytes so far, as they are on the wire. */
  readonly bytes: { readonly sent: number, readonly received: number }
}

/** What a client tells a host when it asks to be served. */
export interface AttachRequest {
  readonly client: string
  readonly name: string
  /** Hash over backbone spec, strategy and seed: both ends must mean the same model. */
  readonly model: string
  readonly tasks: readonly string[]
  /** Shape of the activations without the batch axis, [tokens, width]. */
  readonly cut: readonly number[]
  readonly samples: number
  readonly batch: number
  /** Given back on reconnect, so that the host can tell a return from a newcomer. */
  readonly resume?: string
}

export interface Admission {
  readonly session: string
  /** The step to send next. */
  readonly step: number
  readonly version: number
  /** Frames a client may have unanswered. */
  readonly credits: number
  /** Largest batch accepted, rows. */
  readonly maxBatch: number
}

/** Announced by a host every few seconds; signed by the gossip layer. */
export interface HostCard {
  readonly host: string
  readonly name: string
  readonly backend: string
  /** Measured forward + backward of the backbone, rows per second. */
  readonly samplesPerSecond: number
  readonly memoryBytes: number
  readonly attached: number
  readonly slots: number
  readonly model: string
  readonly round: number
  readonly step: number
  readonly addresses: readonly string[]
  readonly sentAt: number
}

/** Header of one host's round delta; the payload rides inline up to 64 KiB, else is fetched by its hash. */
export interface DeltaManifest {
  readonly host: string
  readonly model: string
  readonly round: number
  /** host -> round already merged into the state this delta starts from. */
  readonly base: Readonly<Record<string, number>>
  readonly codec: 'f32' | 'f16' | 'bf16' | 'int8'
  readonly bytes: number
  /** sha-256 of the encoded payload, hex. */
  readonly hash: string
  readonly samples: number
  readonly clients: number
  readonly losses: readonly TaskLoss[]
  readonly norm: number
  /** sha-256 of what the hosts' rule made of the deltas of the round before, hex; absent: this host lacks it, or the rule asks for none. */
  readonly history?: string
}

/** What changed in one round, unit by unit ('trunk', 'embed/image', 'head/disease'). */
export interface Delta {
  readonly manifest: DeltaManifest
  readonly units: Readonly<Record<string, Float32Array>>
}
