/**
 * The peers' Python environments: made once per set of pins, below the user's cache, and found again there.
 *
 *     node scripts/bench/peers/environment.ts     makes them (4.6 GB and 1.1 GB, minutes) and prints where they are
 */
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { FmtlError } from '../../../src/errors.ts'
import { cacheDir, which } from '../../setup/paths.mjs'
import type { FmtlErrorInit } from '../../../src/errors.ts'

const HERE = fileURLToPath(new URL('.', import.meta.url))
/** Flower 1.42 needs 3.11; Ray 2.55 and p2pfl have no wheels for 3.13 and newer. */
const VERSIONS = [[3, 12], [3, 11]] as const
const WINDOWS = process.platform === 'win32'

export class PeersUnavailableError extends FmtlError {
  constructor (message: string, init?: FmtlErrorInit) { super('ERR_PEERS_UNAVAILABLE', message, init) }
}

/** Paths of the interpreters. */
export interface Environments {
  /** PyTorch, gRPC, Flower. */
  readonly main: string
  /** p2pfl; undefined, with the reason, where it cannot be installed. */
  readonly p2pfl: string | undefined
  readonly p2pflReason: string | undefined
}

/**
 * Both environments, made where they are missing.
 *
 * @throws {PeersUnavailableError} there is no Python 3.11 or 3.12, or an installation failed
 */
export async function environments (say: (line: string) => void = () => {}): Promise<Environments> {
  const python = findPython()
  const main = await environment(python, 'requirements.txt', [], say)
  try {
    return { main, p2pfl: await environment(python, 'requirements-p2pfl.txt', [await sitePackages(main)], say), p2pflReason: undefined }
  } catch (err) {
    if (!(err instanceof PeersUnavailableError)) throw err
    return { main, p2pfl: undefined, p2pflReason: err.message }
  }
}

/** @throws {PeersUnavailableError} none on PATH */
function findPython (): string {
  const wanted = VERSIONS.map(version => version.join('.'))
  for (const name of [...wanted.map(version => `python${version}`), 'python3', 'python']) {
    const file = which(name)
    if (file === undefined) continue
    const { stdout } = spawnSync(file, ['-c', 'import sys; print("%d.%d" % sys.version_info[:2])'], { encoding: 'utf8' })
    if (wanted.includes(String(stdout).trim())) return file
  }
  throw new PeersUnavailableError('the peers need Python 3.11 or 3.12', { next: 'put one of them on PATH' })
}

/** One environment; packages of the folders `after` can be imported too, below its own. A marker says that it is whole. */
async function environment (python: string, requirements: string, after: readonly string[], say: (line: string) => void): Promise<string> {
  const pins = await readFile(join(HERE, requirements))
  const version = createHash('sha256').update(pins).update(after.join()).digest('hex').slice(0, 12)
  const dir = join(cacheDir(), 'peers', `${requirements.replace(/\.txt$/, '')}-${version}`)
  const interpreter = WINDOWS ? join(dir, 'Scripts', 'python.exe') : join(dir, 'bin', 'python')
  const marker = join(dir, 'complete')
  if (existsSync(marker)) return interpreter
  say(`installing ${requirements} into ${dir} (minutes)`)
  await rm(dir, { recursive: true, force: true })
  await mkdir(dir, { recursive: true })
  await run(python, ['-m', 'venv', dir])
  // Locked files list every package: nothing to resolve, and pip's own cache would hold the same gigabytes once more.
  await run(interpreter, ['-m', 'pip', 'install', '--quiet', '--no-deps', '--no-cache-dir', '--disable-pip-version-check', '-r', join(HERE, requirements)])
  if (after.length > 0) await writeFile(join(await sitePackages(interpreter), 'after.pth'), `${after.join('\n')}\n`)
  await writeFile(marker, '')
  return interpreter
}

async function sitePackages (interpreter: string): Promise<string> {
  if (WINDOWS) return join(interpreter, '..', '..', 'Lib', 'site-packages')
  const lib = join(interpreter, '..', '..', 'lib')
  const [python = ''] = (await readdir(lib)).filter(name => name.startsWith('python'))
  return join(lib, python, 'site-packages')
}

/** @throws {PeersUnavailableError} it failed; the message ends with its last line */
async function run (command: string, args: readonly string[]): Promise<void> {
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  let errors = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => { errors = (errors + text).slice(-4000) })
  const status = await new Promise<number | null>((resolve, reject) => { child.on('error', reject).on('close', resolve) })
  if (status !== 0) throw new PeersUnavailableError(`${args.slice(0, 3).join(' ')} failed: ${errors.trim().split('\n').at(-1) ?? `status ${status}`}`)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  console.log(JSON.stringify(await environments(line => { console.error(line) })))
}
