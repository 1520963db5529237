/** A command's side of the control API: one request to the node that runs in a home. */
import { request as httpRequest } from 'node:http'
import { DeadlineError, FmtlError, ProtocolError, ResourceError } from '../../src/errors.ts'
import { REQUEST_MS } from './server.ts'
import { controlPath } from './path.ts'
import { holderOf } from '../store/lock.ts'

/** Nothing runs there: for `down` that is no mistake. */
export class NoNodeError extends FmtlError {
  constructor (home: string) { super('ERR_NO_NODE', `no node runs in ${home}`, { next: 'fmtl-node up' }) }
}

export interface RequestOptions {
  readonly signal?: AbortSignal
  /** Longest wait for the answer, ms. Default: a little more than the node gives itself, so that its own reason comes first. */
  readonly timeoutMs?: number
}

/** 10 000 peers at 400 bytes. */
const MAX_ANSWER_BYTES = 4 * 2 ** 20

/**
 * @param home - absolute, as the configuration has it
 * @returns the answer's fields, `success` left out
 * @throws {NoNodeError} no node runs in this home
 * @throws {FmtlError} what the node said instead of an answer, with its code and next step
 * @throws {DeadlineError} it is there and does not answer
 */
export async function request<T extends object = Record<string, unknown>> (home: string, method: 'GET' | 'POST', path: string, body?: unknown, options: RequestOptions = {}): Promise<T> {
  const { timeoutMs = REQUEST_MS + 2_000 } = options
  const late = AbortSignal.timeout(timeoutMs)
  const signal = options.signal === undefined ? late : AbortSignal.any([options.signal, late])
  let text
  try {
    text = await exchange(controlPath(home).path, method, path, body, signal)
  } catch (err) {
    throw reasonOf(err, home, late.aborted ? timeoutMs : undefined)
  }
  const { success, ...answer } = parse(text)
  if (success === true) return answer as T
  const { code, message, next } = answer as Partial<Record<string, unknown>>
  throw new FmtlError(typeof code === 'string' ? code : 'ERR_INTERNAL', typeof message === 'string' ? message : 'the node refused and did not say why', typeof next === 'string' ? { next } : {})
}

async function exchange (socketPath: string, method: string, path: string, body: unknown, signal: AbortSignal): Promise<string> {
  return await new Promise((resolve, reject) => {
    const text = body === undefined ? '' : JSON.stringify(body)
    const headers = body === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }
    const outgoing = httpRequest({ socketPath, method, path, headers, agent: false, signal }, response => {
      const chunks: Buffer[] = []
      let bytes = 0
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length
        if (bytes > MAX_ANSWER_BYTES) outgoing.destroy(new ProtocolError(`the node answers with more than ${MAX_ANSWER_BYTES} bytes`))
        chunks.push(chunk)
      })
      response.once('error', reject)
      response.once('end', () => { resolve(Buffer.concat(chunks).toString('utf8')) })
    })
    outgoing.once('error', reject)
    outgoing.end(text)
  })
}

function reasonOf (err: unknown, home: string, waitedMs: number | undefined): unknown {
  const { code } = err as NodeJS.ErrnoException
  const pid = holderOf(home)?.pid
  if (waitedMs !== undefined) return new DeadlineError(`the node in ${home}${pid === undefined ? '' : ` (process ${pid})`} does not answer within ${waitedMs / 1000} s`, { cause: err, next: 'fmtl-node down' })
  if (code === 'EACCES' || code === 'EPERM') return new ResourceError(`the node in ${home} is another user's`, { cause: err, next: 'run this as the user who started it' })
  if (code === 'ENOENT' || code === 'ECONNREFUSED' || code === 'ENOTDIR') {
    return pid === undefined ? new NoNodeError(home) : new DeadlineError(`the node in ${home} (process ${pid}) is starting or stopping, and does not answer now`, { cause: err, next: 'try again in a moment' })
  }
  if (code === 'ECONNRESET' || code === 'EPIPE') return pid === undefined ? new NoNodeError(home) : new ResourceError(`the node in ${home} ended during the request`, { cause: err, next: 'fmtl-node logs' })
  return err
}

function parse (text: string): Record<string, unknown> {
  try {
    const value = JSON.parse(text) as unknown
    if (value !== null && typeof value === 'object' && !Array.isArray(value)) return value as Record<string, unknown>
  } catch {
    // said below
  }
  throw new ProtocolError('the control socket answers, but not as a node does', { next: 'compare the versions: fmtl-node --version' })
}
