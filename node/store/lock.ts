/**
 * One node per home: two with one identity would contradict each other before all their peers. The lock names the process
 * that holds it and when that process began, so that neither an unclean stop nor a process id used again keeps a node from
 * starting.
 *
 * A lock whose process is gone is replaced by whoever makes `<lock>.<hash of its content>` first: that file can be made only
 * while the old lock stands, and takes its place by a rename, so of many that try at once exactly one succeeds.
 */
import { createHash } from 'node:crypto'
import { closeSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { FmtlError } from '../../src/errors.ts'
import { diskError } from './durable.ts'

export interface Holder {
  readonly pid: number
  /** Clock ticks from boot to the process's start; empty where the system does not tell. */
  readonly started: string
}

export class HomeInUseError extends FmtlError {
  constructor (home: string, pid?: number) {
    super('ERR_HOME_IN_USE', `a node runs in ${home} already (${pid === undefined ? 'in another container' : `process ${pid}`})`, { next: 'fmtl-node status, or fmtl-node down' })
  }
}

export interface LockInit {
  /** Whether a node answers in this home. Of a process in another container only its socket can be seen. */
  readonly answers?: () => Promise<boolean>
}

export interface Lock {
  /** The node before did not stop in order. */
  readonly unclean: boolean
  /** For the end of the process: does not wait. */
  release (): void
}

/** Between making the file and writing into it there is nothing to wait for; an empty lock this old is of a power cut, ms. */
const EMPTY_MS = 1_000
const EMPTY_POLL_MS = 20

/**
 * @throws {HomeInUseError} a live process holds it
 * @throws {ResourceError} the home cannot be made or written
 */
export async function lockHome (home: string, init: LockInit = {}): Promise<Lock> {
  const path = join(home, 'lock')
  const content = `${process.pid} ${startOf(process.pid) ?? ''}\n`
  try {
    await mkdir(home, { recursive: true, mode: 0o700 })
  } catch (err) {
    throw diskError(err, `folder ${home} not made`, dirname(home))
  }
  try {
    const unclean = await take(path, content, home, init.answers ?? (async () => false))
    return { unclean, release: () => { if (read(path) === content) rmSync(path, { force: true }) } }
  } catch (err) {
    throw diskError(err, `lock ${path} not made`, home)
  }
}

/** The live process that holds a home, if there is one. */
export function holderOf (home: string): Holder | undefined {
  const holder = parse(read(join(home, 'lock')) ?? '')
  return holder !== undefined && isAlive(holder) ? holder : undefined
}

/** Whether this very process is there, not another one with its number. */
export function isAlive ({ pid, started }: Holder): boolean {
  if (started !== '') return startOf(pid) === started
  try {
    process.kill(pid, 0)
    return true
  } catch (err) {
    return (err as NodeJS.ErrnoException).code === 'EPERM'
  }
}

async function take (path: string, content: string, home: string, answers: () => Promise<boolean>): Promise<boolean> {
  for (;;) {
    if (create(path, content)) return false
    const found = await settled(path)
    if (found === undefined) continue // released just now
    const holder = parse(found)
    if (holder !== undefined && isAlive(holder)) throw new HomeInUseError(home, holder.pid)
    if (await answers()) throw new HomeInUseError(home)
    const successor = `${path}.${createHash('sha256').update(found).digest('hex').slice(0, 8)}`
    await take(successor, content, home, answers)
    if (read(path) === found) {
      renameSync(successor, path)
      return true
    }
    rmSync(successor, { force: true }) // somebody else was first, and has made place for us
  }
}

function create (path: string, content: string): boolean {
  let file
  try {
    file = openSync(path, 'wx', 0o600)
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw err
  }
  try {
    writeSync(file, content)
  } catch (err) {
    rmSync(path, { force: true })
    throw err
  } finally {
    closeSync(file)
  }
  return true
}

/** The lock's content once it is written; undefined when there is no lock. */
async function settled (path: string): Promise<string | undefined> {
  for (let waited = 0; ; waited += EMPTY_POLL_MS) {
    const content = read(path)
    if (content !== '' || waited >= EMPTY_MS) return content
    await pause(EMPTY_POLL_MS)
  }
}

function read (path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (err) {
    if (['ENOENT', 'ENOTDIR'].includes((err as NodeJS.ErrnoException).code ?? '')) return undefined
    throw err
  }
}

function parse (content: string): Holder | undefined {
  const [, pid, started = ''] = /^([1-9]\d{0,9}) (\d*)\n$/.exec(content) ?? []
  return pid === undefined ? undefined : { pid: Number(pid), started }
}

/**
 * Field 22 of its stat; undefined where there is no such process, or one that has ended and was not fetched yet. While other
 * threads of it still end, its ports and sockets are not free.
 */
function startOf (pid: number): string | undefined {
  let stat
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  } catch {
    return undefined
  }
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ') // its name, in brackets, may hold anything; field 3 follows
  const ended = (fields[0] === 'Z' || fields[0] === 'X') && Number(fields[17]) <= 1
  return ended ? undefined : fields[19]
}
