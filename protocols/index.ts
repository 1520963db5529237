/** Every protocol of a node, made from its components; one place that starts and stops them. */
import * as compression from '../src/compression/index.ts'
import { InvalidParametersError } from '../src/errors.ts'
import { AffinityService } from './affinity/index.ts'
import { AnnounceService } from './announce/index.ts'
import { attach, serveAttach, SessionTable } from './attach/index.ts'
import { BenchService } from './bench/index.ts'
import { BlobService } from './blob/index.ts'
import { DeltaService } from './delta/index.ts'
import { openChannel, serveSplitStep } from './split-step/index.ts'
import type { Admission, AttachRequest, FrameChannel } from '../src/backbone/frames.ts'
import type { AffinityInit } from './affinity/index.ts'
import type { AnnounceInit } from './announce/index.ts'
import type { Admit } from './attach/index.ts'
import type { BenchInit } from './bench/index.ts'
import type { ProtocolComponents } from './components.ts'
import type { OpenChannelInit, ServeSplitStepInit, TensorCodec } from './split-step/index.ts'
import type { AbortOptions } from '@libp2p/interface'

export { AffinityService } from './affinity/index.ts'
export { AnnounceService } from './announce/index.ts'
export { BenchService } from './bench/index.ts'
export { BlobService, BlobStore } from './blob/index.ts'
export { DeltaService } from './delta/index.ts'
export type { Admit, Refusal, Session } from './attach/index.ts'
export type { Equivocation, FetchPayload } from './delta/index.ts'
export type { ChannelHooks, TensorCodec } from './split-step/index.ts'
export type { ProtocolComponents } from './components.ts'

export interface ProtocolsInit extends Omit<AnnounceInit, 'consortium'> {
  /** Part of every topic: a-z, 0-9 and -, up to 128 of them. */
  consortium: string
  /** Hash of backbone spec, strategy and seed, as in AttachRequest. */
  model: string
  /** How tensors are encoded. Default src/compression. */
  tensors?: TensorCodec
  /** Memory for payloads that others may fetch. Default 64 MiB. */
  maxBlobBytes?: number
}

export interface HostInit extends Omit<ServeSplitStepInit, 'tensors'> {
  admit: Admit
}

export interface Protocols {
  readonly announce: AnnounceService
  readonly delta: DeltaService
  readonly blobs: BlobService
  /** For a charter that splits its tasks. Not started. */
  affinity (init: AffinityInit): AffinityService
  /** For a charter by which peers trade models. Not started. */
  bench (init: Omit<BenchInit, 'consortium' | 'charter'>): BenchService
  /**
   * The same node under another charter of the same consortium: cards, blobs and streams are those of this one, deltas have a
   * topic of their own. Started, and to be stopped, by itself.
   */
  under (model: string): Protocols
  /** Become a host: clients may attach, and each gets a channel. Returns what ends that. */
  serve (init: HostInit): Promise<() => Promise<void>>
  /** Ask a host to be served. Throws RefusedError with its reason. */
  attach (host: string, request: AttachRequest, options?: AbortOptions): Promise<Admission>
  /** Open the step stream of an admission. */
  openChannel (host: string, admission: Pick<Admission, 'session' | 'credits'>, init?: Omit<OpenChannelInit, 'tensors'>): Promise<FrameChannel>
  start (): Promise<void>
  stop (): Promise<void>
}

/** Eight rounds of the largest delta that a 2-core host makes. */
const DEFAULT_BLOB_BYTES = 64 * 1024 * 1024

export function createProtocols (components: ProtocolComponents, init: ProtocolsInit): Protocols {
  if (!/^[a-z0-9][a-z0-9-]{0,127}$/.test(init.consortium)) throw new InvalidParametersError(`consortium id '${init.consortium}': expected 1 to 128 of a-z 0-9 -`)
  return build(components, init, {
    announce: new AnnounceService(components, init),
    blobs: new BlobService(components, { maxBytes: init.maxBlobBytes ?? DEFAULT_BLOB_BYTES })
  }, true)
}

/** @param whole - whether what is common to all charters starts and stops with this one */
function build (components: ProtocolComponents, init: ProtocolsInit, common: Pick<Protocols, 'announce' | 'blobs'>, whole: boolean): Protocols {
  const { announce, blobs } = common
  const delta = new DeltaService(components, blobs, init)
  const tensors = init.tensors ?? compression
  const serving = new Set<() => Promise<void>>()
  return {
    announce,
    delta,
    blobs,
    affinity: affinity => new AffinityService(components, blobs, affinity),
    bench: bench => new BenchService(components, blobs, { ...bench, consortium: init.consortium, charter: init.model }),
    under: model => build(components, { ...init, model }, common, false),
    serve: async ({ admit, ...rest }) => {
      const sessions = new SessionTable()
      const stops = [
        await serveSplitStep(components, sessions, { ...rest, tensors }),
        await serveAttach(components, sessions, admit)
      ]
      const stop = async (): Promise<void> => {
        serving.delete(stop)
        sessions.clear()
        await Promise.all(stops.map(async end => { await end() }))
      }
      serving.add(stop)
      return stop
    },
    attach: async (host, request, options) => await attach(components, host, request, options),
    openChannel: async (host, admission, options) => await openChannel(components, host, admission, { ...options, tensors }),
    start: async () => {
      if (whole) {
        await blobs.start()
        announce.start()
      }
      delta.start()
    },
    stop: async () => {
      if (whole) announce.stop()
      delta.stop()
      await Promise.all([...serving].map(async stop => { await stop() }))
      if (whole) await blobs.stop()
    }
  }
}
