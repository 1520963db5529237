import { serveBlobs } from './handler.ts'
import { BlobFetcher } from './client.ts'
import { BlobStore } from './store.ts'
import type { ProtocolComponents } from '../components.ts'
import type { AbortOptions } from '@libp2p/interface'

export { PROTOCOL as BLOB_PROTOCOL } from './constants.ts'
export { BlobStore, sha256 } from './store.ts'
export { BlobFetcher } from './client.ts'
export { serveBlobs } from './handler.ts'

/** A node's blobs: what it fetched or made it also provides. */
export class BlobService {
  readonly store: BlobStore
  readonly #components: Pick<ProtocolComponents, 'network' | 'logger' | 'overBudget'>
  readonly #fetcher: BlobFetcher
  #stop: (() => Promise<void>) | undefined
  #given = 0

  constructor (components: Pick<ProtocolComponents, 'network' | 'logger' | 'overBudget'>, init: { maxBytes: number }) {
    this.store = new BlobStore(init.maxBytes)
    this.#components = components
    this.#fetcher = new BlobFetcher(components)
  }

  async start (): Promise<void> {
    this.#stop ??= await serveBlobs(this.#components, {
      manifest: async hash => await this.store.manifest(hash),
      chunk: (hash, index) => {
        const chunk = this.store.chunk(hash, index)
        this.#given += chunk?.byteLength ?? 0
        return chunk
      }
    })
  }

  async stop (): Promise<void> {
    const stop = this.#stop
    this.#stop = undefined
    await stop?.()
  }

  /** Bytes of chunks that others were given so far. */
  get given (): number { return this.#given }

  put (bytes: Uint8Array): string {
    return this.store.put(bytes)
  }

  /** Provides what is known to have this hash. */
  add (hash: string, bytes: Uint8Array): void {
    this.store.add(hash, bytes)
  }

  /** From the store, or from the providers; see BlobFetcher. */
  async fetch (hash: string, size: number, providers: readonly string[], options: AbortOptions = {}): Promise<Uint8Array> {
    const known = this.store.get(hash)
    if (known != null && known.byteLength === size) return known
    this.store.expectRoom(size)
    const bytes = await this.#fetcher.fetch(hash, size, providers, options)
    this.store.add(hash, bytes)
    return bytes
  }
}
