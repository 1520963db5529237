/**
 * Blob, fetching side. Several providers at once, every chunk verified, chunks kept over a failed or aborted try.
 *
 * A blob of one chunk needs no manifest: its chunk's hash is its own. A larger one's chunk hashes come from a provider
 * that nobody vouches for, so the manifests of all providers are compared, the most frequent is tried first, and the
 * whole is verified at the end; who gave a manifest that led to a wrong whole is not asked again.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { DecodeError, InvalidParametersError, ProtocolError } from '../../src/errors.ts'
import {
  BLOB_CHUNK_BYTES, BLOB_MANIFEST_GRACE_MS, BLOB_REQUESTS_PER_PROVIDER, BLOB_REQUEST_TIMEOUT_MS, MAX_BLOB_BYTES, MAX_BLOB_MESSAGE_BYTES,
  MAX_BLOB_PROVIDERS, MAX_PARTIAL_BLOBS
} from '../limits.ts'
import { request as ask } from '../request.ts'
import { hash as checkHash } from '../wire.ts'
import { PROTOCOL } from './constants.ts'
import { decodeResponse, encodeRequest } from './messages.ts'
import { sha256 } from './store.ts'
import type { ProtocolComponents } from '../components.ts'
import type { BlobManifest, BlobRequest } from './messages.ts'
import type { AbortOptions } from '@libp2p/interface'

/** A provider that is busy is asked again after that. */
const BUSY_PAUSE_MS = 50

interface Offer {
  manifest: BlobManifest
  /** Who gave it. */
  from: string[]
}

export class BlobFetcher {
  readonly #components: Pick<ProtocolComponents, 'network'>
  /** hash of a blob -> hash of a chunk -> its bytes, verified. */
  readonly #partial = new Map<string, Map<string, Uint8Array>>()

  constructor (components: Pick<ProtocolComponents, 'network'>) {
    this.#components = components
  }

  /**
   * @param hash - sha-256 of the whole, hex
   * @param size - its bytes, as announced; a blob of another size is refused
   * @throws {ProtocolError} no provider could give it; the message says why for each
   */
  async fetch (hash: string, size: number, providers: readonly string[], { signal }: AbortOptions = {}): Promise<Uint8Array> {
    checkHash(hash, 'blob hash')
    if (!(size > 0 && size <= MAX_BLOB_BYTES)) throw new DecodeError(`blob of ${size} bytes, at most ${MAX_BLOB_BYTES}`)
    const asked = [...new Set(providers)].slice(0, MAX_BLOB_PROVIDERS)
    if (asked.length === 0) throw new InvalidParametersError('no provider to ask')
    const reasons = new Map<string, string>()
    const have = this.#partials(hash)
    const liars = new Set<string>()
    for await (const { manifest, from } of this.#manifests(hash, size, asked, reasons, signal)) {
      const honest = asked.filter(peer => !liars.has(peer))
      if (!await this.#chunks(hash, manifest, have, honest, reasons, signal)) continue
      const whole = assemble(manifest, have)
      if (sha256(whole) === hash) {
        this.#partial.delete(hash)
        return whole
      }
      for (const peer of from) {
        liars.add(peer)
        reasons.set(peer, 'manifest of another blob')
      }
    }
    throw new ProtocolError(`blob ${hash.slice(0, 12)} not received: ${asked.map(peer => `${peer}: ${reasons.get(peer) ?? 'no answer'}`).join('; ')}`, { code: 'ERR_BLOB' })
  }

  #partials (hash: string): Map<string, Uint8Array> {
    const have = this.#partial.get(hash) ?? new Map<string, Uint8Array>()
    this.#partial.delete(hash)
    this.#partial.set(hash, have)
    for (const oldest of this.#partial.keys()) {
      if (this.#partial.size <= MAX_PARTIAL_BLOBS) break
      this.#partial.delete(oldest)
    }
    return have
  }

  /** Different manifests, of those that arrived the most frequent first. Late ones are still given when the others failed. */
  async * #manifests (
    hash: string, size: number, providers: readonly string[], reasons: Map<string, string>, signal: AbortSignal | undefined
  ): AsyncGenerator<Offer> {
    if (size <= BLOB_CHUNK_BYTES) {
      yield { manifest: { bytes: size, chunks: [hash] }, from: [] }
      return
    }
    const groups = new Map<string, Offer>()
    const { promise: first, resolve } = Promise.withResolvers<void>()
    const all = Promise.all(providers.map(async peer => {
      try {
        const response = await this.#ask(peer, { hash }, signal)
        if (!('manifest' in response)) throw new DecodeError('no manifest in answer')
        if (response.manifest.bytes !== size) throw new DecodeError(`blob of ${response.manifest.bytes} bytes, announced were ${size}`)
        const key = response.manifest.chunks.join()
        const group = groups.get(key) ?? { manifest: response.manifest, from: [] }
        group.from.push(peer)
        groups.set(key, group)
        resolve()
      } catch (err) {
        reasons.set(peer, (err as Error).message)
      }
    }))
    await Promise.race([all, first.then(async () => { await pause(BLOB_MANIFEST_GRACE_MS, undefined, { ref: false }) })])
    const given = new Set<Offer>()
    for (let complete = false; ;) {
      signal?.throwIfAborted()
      const best = [...groups.values()].filter(offer => !given.has(offer)).sort((a, b) => b.from.length - a.from.length)[0]
      if (best != null) {
        given.add(best)
        yield best
      } else if (complete) {
        return
      } else {
        await all
        complete = true
      }
    }
  }

  /** Adds the missing chunks to `have`. False when the providers are used up before. */
  async #chunks (
    hash: string, manifest: BlobManifest, have: Map<string, Uint8Array>, providers: readonly string[], reasons: Map<string, string>, signal: AbortSignal | undefined
  ): Promise<boolean> {
    const todo = manifest.chunks.map((chunk, index) => ({ chunk, index })).filter(({ chunk }) => !have.has(chunk))
    let missing = todo.length
    const dropped = new Set<string>()
    const worker = async (peer: string): Promise<void> => {
      while (!dropped.has(peer) && missing > 0) {
        signal?.throwIfAborted()
        const next = todo.shift()
        if (next == null) {
          // the last chunks are with others; one of them may come back
          await pause(BUSY_PAUSE_MS)
          continue
        }
        try {
          const response = await this.#ask(peer, { hash, chunk: next.index }, signal)
          if (!('data' in response)) throw new DecodeError('no data in answer')
          if (sha256(response.data) !== next.chunk) throw new DecodeError(`chunk ${next.index} is not what its hash says`)
          have.set(next.chunk, response.data)
          missing--
        } catch (err) {
          todo.unshift(next)
          if ((err as { code?: string }).code === 'ERR_BUSY') {
            await pause(BUSY_PAUSE_MS)
            continue
          }
          reasons.set(peer, (err as Error).message)
          dropped.add(peer)
        }
      }
    }
    await Promise.all(providers.flatMap(peer => Array.from({ length: BLOB_REQUESTS_PER_PROVIDER }, async () => { await worker(peer) })))
    signal?.throwIfAborted()
    return missing === 0
  }

  async #ask (peer: string, request: BlobRequest, signal: AbortSignal | undefined): Promise<Exclude<ReturnType<typeof decodeResponse>, { code: string }>> {
    const timeout = AbortSignal.timeout(BLOB_REQUEST_TIMEOUT_MS)
    const response = decodeResponse(await ask(this.#components, peer, PROTOCOL, encodeRequest(request), {
      signal: signal == null ? timeout : AbortSignal.any([signal, timeout]),
      maxRequestBytes: MAX_BLOB_MESSAGE_BYTES,
      maxResponseBytes: MAX_BLOB_MESSAGE_BYTES
    }))
    if ('code' in response) throw new ProtocolError(response.reason, { code: response.code })
    return response
  }
}

function assemble (manifest: BlobManifest, have: ReadonlyMap<string, Uint8Array>): Uint8Array {
  const parts = manifest.chunks.map(chunk => have.get(chunk) ?? new Uint8Array(0))
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.byteLength
  }
  return whole
}
