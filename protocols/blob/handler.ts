/** Blob, providing side: manifests and chunks of what the store holds. */
import { BUDGETS, MAX_BLOB_MESSAGE_BYTES, MAX_BLOB_REQUEST_BYTES } from '../limits.ts'
import { respond, wireError } from '../request.ts'
import { PROTOCOL } from './constants.ts'
import { decodeRequest, encodeResponse } from './messages.ts'
import type { ProtocolComponents } from '../components.ts'
import type { BlobManifest, BlobRequest, BlobResponse } from './messages.ts'

/** What is provided: a BlobStore, or part of one. */
export interface BlobSource {
  manifest (hash: string): Promise<BlobManifest | undefined> | BlobManifest | undefined
  chunk (hash: string, index: number): Uint8Array | undefined
}

export async function serveBlobs (
  components: Pick<ProtocolComponents, 'network' | 'logger' | 'overBudget'>, store: BlobSource
): Promise<() => Promise<void>> {
  return await respond(components, PROTOCOL, {
    maxRequestBytes: MAX_BLOB_REQUEST_BYTES,
    maxResponseBytes: MAX_BLOB_MESSAGE_BYTES,
    budget: BUDGETS.blob,
    many: true,
    busy: () => encodeResponse({ code: 'ERR_BUSY', reason: 'too many blob requests at once' }),
    answer: async bytes => {
      try {
        return encodeResponse(await find(decodeRequest(bytes), store))
      } catch (err) {
        return encodeResponse(wireError(err))
      }
    }
  })
}

async function find (request: BlobRequest, store: BlobSource): Promise<BlobResponse> {
  if (request.chunk == null) {
    const manifest = await store.manifest(request.hash)
    if (manifest != null) return { manifest }
  } else {
    const data = store.chunk(request.hash, request.chunk)
    if (data != null) return { data: [data] }
  }
  return { code: 'ERR_NOT_FOUND', reason: 'no such blob here' }
}
