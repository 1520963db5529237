/**
 * The control API of a running node: HTTP and JSON over a socket that only the node's owner may open, which is all the
 * authentication it has. Whoever wants a route of its own adds it to the table. Answers are `{ success: true, ... }` or
 * `{ success: false, code, message, next }`; GET changes nothing.
 */
import { chmod, lstat, mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import { dirname, join } from 'node:path'
import { DeadlineError, FmtlError, InvalidParametersError, ResourceError } from '../../src/errors.ts'
import { diskError } from '../store/durable.ts'
import type { ControlPath } from './path.ts'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'

export interface Route {
  readonly method: 'GET' | 'POST'
  readonly path: string
  /**
   * @param body - parsed JSON of a POST, undefined where there was none; nothing about it is checked yet
   * @param signal - aborts when the request has taken too long or its sender is gone
   * @returns what the answer carries beside `success`
   */
  handle (body: unknown, signal: AbortSignal): Promise<object> | object
}

export interface ControlServerInit {
  readonly at: ControlPath
  readonly routes: readonly Route[]
  /** Longest time for one request, its body included, ms. Default REQUEST_MS. */
  readonly deadlineMs?: number
}

/** An invitation, the longest body there is, has 1 KiB. */
export const MAX_BODY_BYTES = 64 * 1024
/** A person waits for the answer. */
export const REQUEST_MS = 10_000
const MAX_HEADER_BYTES = 8 * 1024
/** Commands of one person, and whatever watches. */
const MAX_CONNECTIONS = 32

export class ControlServer {
  readonly #init: ControlServerInit
  readonly #routes: ReadonlyMap<string, Route>
  readonly #server: Server
  readonly #deadlineMs: number

  /** @throws {InvalidParametersError} two routes of the same method and path */
  constructor (init: ControlServerInit) {
    this.#init = init
    this.#deadlineMs = init.deadlineMs ?? REQUEST_MS
    this.#routes = new Map(init.routes.map(route => [`${route.method} ${route.path}`, route]))
    if (this.#routes.size !== init.routes.length) throw new InvalidParametersError('two control routes have the same method and path')
    this.#server = createServer({
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: this.#deadlineMs,
      requestTimeout: this.#deadlineMs,
      connectionsCheckingInterval: Math.min(1_000, this.#deadlineMs)
    }, (request, response) => { void this.#answer(request, response) })
    this.#server.maxConnections = MAX_CONNECTIONS
    this.#server.unref() // it is there for a node, and alone no reason to stay
  }

  /**
   * Listens. The caller holds the lock of the home: a socket that is there already belongs to a process that is gone.
   * @throws {ResourceError} the socket cannot be made
   */
  async start (): Promise<void> {
    const { path, folder } = this.#init.at
    try {
      if (process.platform === 'win32') return await this.#listen(path)
      if (folder !== undefined) await privateFolder(folder)
      // A socket is made with rights that the whole process shares. Where nobody else can enter it gets its own, and then its place.
      const room = await mkdtemp(join(dirname(path), '.'))
      try {
        const made = join(room, 's')
        await this.#listen(made)
        await chmod(made, 0o600)
        await rename(made, path)
      } finally {
        await rm(room, { recursive: true, force: true })
      }
    } catch (err) {
      throw diskError(err, `control socket ${path} not made`, dirname(path))
    }
  }

  /** Ends what is under way and removes the socket. May be called twice. */
  async stop (): Promise<void> {
    if (!this.#server.listening) return
    const closed = new Promise<void>(resolve => { this.#server.close(() => { resolve() }) })
    this.#server.closeAllConnections()
    await closed
    if (process.platform !== 'win32') await rm(this.#init.at.path, { force: true })
  }

  async #listen (path: string): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(path, () => { resolve() })
    })
  }

  async #answer (request: IncomingMessage, response: ServerResponse): Promise<void> {
    const gone = new AbortController()
    response.once('close', () => { gone.abort(new DeadlineError('the request was given up')) })
    const deadline = setTimeout(() => { gone.abort(new DeadlineError(`not done within ${this.#deadlineMs / 1000} s`, { next: 'fmtl-node status' })) }, this.#deadlineMs)
    try {
      const route = this.#find(request)
      const body = route.method === 'POST' ? await readBody(request, gone.signal) : undefined
      send(response, 200, { success: true, ...await within(Promise.resolve(route.handle(body, gone.signal)), gone.signal) })
    } catch (err) {
      if (err instanceof HttpError) send(response, err.status, failure(err.cause))
      else send(response, err instanceof FmtlError ? 400 : 500, failure(err))
    } finally {
      clearTimeout(deadline)
    }
  }

  #find ({ method = '', url = '' }: IncomingMessage): Route {
    const [path = ''] = url.split('?')
    const route = this.#routes.get(`${method} ${path}`)
    if (route !== undefined) return route
    const others = this.#init.routes.filter(route => route.path === path).map(({ method }) => method)
    if (others.length > 0) throw new HttpError(405, new InvalidParametersError(`${path} takes ${others.join(' and ')}, not ${method}`))
    throw new HttpError(404, new InvalidParametersError(`this node has no ${path.slice(0, 100)}`, { next: `there are ${this.#init.routes.map(({ method, path }) => `${method} ${path}`).join(', ')}` }))
  }
}

/** An error with an HTTP status of its own. */
class HttpError extends Error {
  readonly status: number
  constructor (status: number, cause: FmtlError) {
    super(cause.message, { cause })
    this.status = status
  }
}

async function readBody (request: IncomingMessage, signal: AbortSignal): Promise<unknown> {
  const tooLong = (): HttpError => new HttpError(413, new InvalidParametersError(`the request is larger than ${MAX_BODY_BYTES} bytes`))
  if (Number(request.headers['content-length'] ?? 0) > MAX_BODY_BYTES) throw tooLong()
  const chunks: Buffer[] = []
  let bytes = 0
  const read = (async () => {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      bytes += chunk.length
      if (bytes > MAX_BODY_BYTES) throw tooLong()
      chunks.push(chunk)
    }
  })()
  await within(read, signal)
  if (bytes === 0) return undefined
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8')) as unknown
  } catch (cause) {
    throw new InvalidParametersError('the request is no JSON', { cause })
  }
}

async function within<T> (work: Promise<T>, signal: AbortSignal): Promise<T> {
  const ended = Promise.withResolvers<never>()
  const abort = (): void => { ended.reject(signal.reason) }
  signal.addEventListener('abort', abort, { once: true })
  if (signal.aborted) abort()
  ended.promise.catch(() => undefined)
  work.catch(() => undefined) // too late to be told
  try {
    return await Promise.race([work, ended.promise])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

function failure (error: unknown): object {
  if (error instanceof FmtlError) return { success: false, code: error.code, message: error.message, ...error.next === undefined ? {} : { next: error.next } }
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`)
  return { success: false, code: 'ERR_INTERNAL', message: `a bug: ${error instanceof Error ? error.message : String(error)}`, next: 'fmtl-node logs' }
}

function send (response: ServerResponse, status: number, answer: object): void {
  if (response.destroyed || response.headersSent) return
  const text = `${JSON.stringify(answer)}\n`
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text), connection: 'close' })
  response.end(text)
}

/** @throws {ResourceError} it is there and others can use it: the folder of temporary files is everybody's */
async function privateFolder (path: string): Promise<void> {
  await mkdir(path, { mode: 0o700 }).catch((err: NodeJS.ErrnoException) => { if (err.code !== 'EEXIST') throw err })
  const found = await lstat(path)
  if (!found.isDirectory() || found.uid !== process.getuid?.() || (found.mode & 0o077) !== 0) {
    throw new ResourceError(`${path}, where the control socket belongs, is not this user's alone`, { next: `remove it, or choose a home with a shorter path: rm -r ${path}` })
  }
}
