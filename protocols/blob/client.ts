/**
 * Blob, fetching side. Several providers at once, chunks kept over a failed or aborted try.
 *
 * A blob of one chunk needs no manifest: its chunk's hash is its own. A larger one's chunk hashes come from a provider
 * that nobody vouches for, so the manifests of all providers are compared, the most frequent is tried first, and the
 * whole is verified at the end; who gave a manifest that led to a wrong whole is not asked again.
 *
 * Hashing every chunk beside the whole costs as much again as all else. So chunks are taken on trust at first, and the whole,
 * which is hashed in any case, tells. Manifests are asked for, and every chunk verified, when the whole was wrong, so that
 * honest providers make up for the others; before another try builds on what is there; and from the start where one of the
 * providers has given a wrong chunk of any blob before.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { DecodeError, InvalidParametersError, ProtocolError } from '../../src/errors.ts'
import {
  BLOB_CHUNK_BYTES, BLOB_MANIFEST_GRACE_MS, BLOB_REQUESTS_PER_PROVIDER, MAX_BLOB_BYTES, MAX_BLOB_PROVIDERS, MAX_PARTIAL_BLOBS
} from '../limits.ts'
import { hash as checkHash } from '../wire.ts'
import { Assembly } from './assembly.ts'
import { Line } from './line.ts'
import type { ProtocolComponents } from '../components.ts'
import type { BlobManifest } from './messages.ts'
import type { AbortOptions } from '@libp2p/interface'

/** A provider that is busy is asked again after that. */
const BUSY_PAUSE_MS = 50
const MAX_SUSPECTS = 1_000

interface Offer {
  manifest: BlobManifest
  /** Who gave it. */
  from: string[]
}

export class BlobFetcher {
  readonly #components: Pick<ProtocolComponents, 'network'>
  /** hash of a blob -> what is there of it. One that is being fetched is not among them. */
  readonly #partial = new Map<string, Assembly>()
  /** Providers of wrong chunks, the latest last. */
  readonly #suspects = new Set<string>()

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
    const kept = this.#partial.get(hash)
    this.#partial.delete(hash)
    const assembly = kept?.bytes.byteLength === size ? kept : new Assembly(size)
    const lines = new Map(asked.map(peer => [peer, new Line(this.#components, peer)]))
    const reasons = new Map<string, string>()
    try {
      if (await this.#fill(assembly, hash, lines, reasons, signal)) return assembly.bytes
    } catch (err) {
      this.#keep(hash, assembly)
      throw err
    } finally {
      for (const line of lines.values()) line.close()
    }
    this.#keep(hash, assembly)
    throw new ProtocolError(`blob ${hash.slice(0, 12)} not received: ${asked.map(peer => `${peer}: ${reasons.get(peer) ?? 'no answer'}`).join('; ')}`, { code: 'ERR_BLOB' })
  }

  /** For the next try. */
  #keep (hash: string, assembly: Assembly): void {
    if (assembly.empty) return
    this.#partial.set(hash, assembly)
    keepLatest(this.#partial, MAX_PARTIAL_BLOBS)
  }

  #suspect (peer: string): void {
    this.#suspects.delete(peer)
    this.#suspects.add(peer)
    keepLatest(this.#suspects, MAX_SUSPECTS)
  }

  /** One manifest after the other until the whole is right. False when no provider is left. */
  async #fill (assembly: Assembly, hash: string, lines: ReadonlyMap<string, Line>, reasons: Map<string, string>, signal: AbortSignal | undefined): Promise<boolean> {
    if (assembly.empty && ![...lines.keys()].some(peer => this.#suspects.has(peer))) {
      const whole = await this.#chunks(assembly, hash, undefined, lines, reasons, signal)
      if (whole === undefined || whole === hash) return whole === hash
    }
    const liars = new Set<string>()
    for await (const { manifest, from } of this.#manifests(hash, assembly.bytes.byteLength, lines, reasons, signal)) {
      const honest = new Map([...lines].filter(([peer]) => !liars.has(peer)))
      const whole = await this.#chunks(assembly, hash, manifest, honest, reasons, signal)
      if (whole === hash) return true
      if (whole === undefined) continue
      for (const peer of from) {
        liars.add(peer)
        reasons.set(peer, 'manifest of another blob')
      }
    }
    return false
  }

  /** Different manifests, of those that arrived the most frequent first. Late ones are still given when the others failed. */
  async * #manifests (
    hash: string, size: number, lines: ReadonlyMap<string, Line>, reasons: Map<string, string>, signal: AbortSignal | undefined
  ): AsyncGenerator<Offer> {
    if (size <= BLOB_CHUNK_BYTES) {
      yield { manifest: { bytes: size, chunks: [hash] }, from: [] }
      return
    }
    const groups = new Map<string, Offer>()
    const { promise: first, resolve } = Promise.withResolvers<void>()
    const all = Promise.all([...lines].map(async ([peer, line]) => {
      try {
        const response = await line.ask({ hash }, { ...signal == null ? {} : { signal } })
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

  /**
   * Fetches the missing chunks, which are hashed while they come.
   * @param manifest - what each chunk must be; without it, all are missing and only the whole tells
   * @returns sha-256 of the whole; undefined when the providers were used up before it was there
   */
  async #chunks (
    assembly: Assembly, hash: string, manifest: BlobManifest | undefined, lines: ReadonlyMap<string, Line>, reasons: Map<string, string>, signal: AbortSignal | undefined
  ): Promise<string | undefined> {
    const { todo, wrong } = await assembly.missing(manifest)
    for (const peer of wrong) this.#suspect(peer)
    const others = [...lines.keys()].some(peer => !wrong.has(peer))
    const dropped = new Set(others ? wrong : []) // where there is nobody else, it may do better
    for (const peer of dropped) reasons.set(peer, 'chunks are not what their hashes say')
    let missing = todo.length
    let changed = Promise.withResolvers<void>()
    const wake = (): void => {
      changed.resolve()
      changed = Promise.withResolvers<void>()
    }
    const worker = async (peer: string, line: Line): Promise<void> => {
      while (!dropped.has(peer) && missing > 0 && signal?.aborted !== true) {
        const index = todo.shift()
        if (index == null) {
          // the last chunks are with others; one of them may come back
          await changed.promise
          continue
        }
        try {
          const response = await line.ask({ hash, chunk: index }, { ...signal == null ? {} : { signal } })
          if (!('data' in response)) throw new DecodeError('no data in answer')
          if (!await assembly.place(index, response.data, { from: peer, hash: manifest?.chunks[index] })) {
            this.#suspect(peer)
            throw new DecodeError(`chunk ${index} is not what its hash says`)
          }
          missing--
          if (missing === 0) wake()
        } catch (err) {
          todo.unshift(index)
          const busy = (err as { code?: string }).code === 'ERR_BUSY'
          if (!busy) {
            reasons.set(peer, (err as Error).message)
            dropped.add(peer)
          }
          wake()
          if (busy) await pause(BUSY_PAUSE_MS)
        }
      }
    }
    const over = new AbortController()
    const whole = assembly.digest(over.signal)
    whole.catch(() => undefined) // heard of below, or given up
    signal?.addEventListener('abort', wake)
    await Promise.all([...lines].flatMap(([peer, line]) => Array.from({ length: BLOB_REQUESTS_PER_PROVIDER }, async () => { await worker(peer, line) })))
    signal?.removeEventListener('abort', wake)
    if (missing > 0) over.abort()
    signal?.throwIfAborted()
    return missing > 0 ? undefined : await whole
  }
}

/** Forgets what was put in longest ago. */
function keepLatest<K> (held: { readonly size: number, keys: () => Iterable<K>, delete: (key: K) => boolean }, most: number): void {
  for (const oldest of held.keys()) {
    if (held.size <= most) break
    held.delete(oldest)
  }
}
