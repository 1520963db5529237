/** Blob, providing side: manifests and chunks of what the store holds. */
import { MAX_BLOB_MESSAGE_BYTES } from '../limits.ts'
import { respond, wireError } from '../request.ts'
import { PROTOCOL } from './constants.ts'
import { decodeRequest, encodeResponse } from './messages.ts'
import type { ProtocolComponents } from '../components.ts'
import type { BlobRequest, BlobResponse } from './messages.ts'
import type { BlobStore } from './store.ts'

export async function serveBlobs (
  components: Pick<ProtocolComponents, 'network' | 'logger'>, store: Pick<BlobStore, 'manifest' | 'chunk'>
): Promise<() => Promise<void>> {
  return await respond(components, PROTOCOL, {
    maxRequestBytes: MAX_BLOB_MESSAGE_BYTES,
    maxResponseBytes: MAX_BLOB_MESSAGE_BYTES,
    busy: () => encodeResponse({ code: 'ERR_BUSY', reason: 'too many blob requests at once' }),
    answer: async bytes => {
      try {
        return encodeResponse(find(decodeRequest(bytes), store))
      } catch (err) {
        return encodeResponse(wireError(err))
      }
    }
  })
}

function find (request: BlobRequest, store: Pick<BlobStore, 'manifest' | 'chunk'>): BlobResponse {
  if (request.chunk == null) {
    const manifest = store.manifest(request.hash)
    if (manifest != null) return { manifest }
  } else {
    const data = store.chunk(request.hash, request.chunk)
    if (data != null) return { data }
  }
  return { code: 'ERR_NOT_FOUND', reason: 'no such blob here' }
}
