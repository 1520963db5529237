/**
 * A graphics device in software, so that the tests of the WebGPU rung run on machines without one: SwiftShader's Vulkan
 * driver, which Debian packs with Chromium's common files. Only `npm test` asks for it, and only where it can be installed
 * without a question: as root, on Debian. Nothing here fails a run; where it is missing, those tests are skipped.
 *
 * Mesa's driver of that kind is no smaller once LLVM is counted, and Dawn refuses Debian 12's: it lacks
 * shaderUniformBufferArrayDynamicIndexing.
 */
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { say } from './log.mjs'
import { ROOT, which } from './paths.mjs'
import { run } from './run.mjs'

/** Driver descriptions: Chromium of Debian and of Ubuntu, and Google's Chrome, which CI machines often have. */
const DRIVERS = ['/usr/lib/chromium', '/usr/lib/chromium-browser', '/opt/google/chrome'].map(dir => join(dir, 'vk_swiftshader_icd.json'))
/** Where distributions put the library through which programs find drivers. */
const LOADERS = ['/usr/lib/x86_64-linux-gnu', '/usr/lib/aarch64-linux-gnu', '/usr/lib64', '/usr/lib'].map(dir => join(dir, 'libvulkan.so.1'))
/** 32 MB to fetch and 66 MB on disk; the loader is not among what it depends on. */
const PACKAGES = ['chromium-common', 'libvulkan1']
/** Fetching took 1 s and unpacking 25 s on a busy machine with two cores. */
const INSTALL_MS = 120_000
const UPDATE_MS = 60_000
/** A network that had no package server an hour ago has none now. */
const RETRY_MS = 24 * 3_600_000
const FAILED = join(ROOT, '.fmtl', 'no-software-gpu')

/** The file to name in VK_DRIVER_FILES, or undefined. */
export function softwareDriver () {
  return LOADERS.some(file => existsSync(file)) ? DRIVERS.find(file => existsSync(file)) : undefined
}

/** Whether Linux shows a real device, which the tests then run on. */
export function hasGraphicsDevice () {
  const list = dir => existsSync(dir) ? readdirSync(dir) : []
  return list('/dev').some(name => /^nvidia\d/.test(name)) || list('/dev/dri').some(name => name.startsWith('renderD'))
}

export async function installSoftwareGpu () {
  if (process.platform !== 'linux' || softwareDriver() != null || hasGraphicsDevice()) return
  const why = reasonAgainst()
  if (why != null) return missing(why)
  say('software GPU: installing, for the tests of the WebGPU rung')
  let result = await install()
  // A fresh container has no package lists; old lists name versions that are gone.
  if (!result.ok) {
    const updated = await apt(['update'], UPDATE_MS)
    result = updated.ok ? await install() : updated
  }
  if (result.ok && softwareDriver() != null) return say('software GPU: ready')
  const reason = result.ok ? 'the package holds no driver' : result.reason
  mkdirSync(dirname(FAILED), { recursive: true })
  writeFileSync(FAILED, JSON.stringify({ at: Date.now(), reason }))
  missing(reason)
}

/** Why it is not tried, in a few words, or undefined. */
function reasonAgainst () {
  if (process.env.FMTL_SOFTWARE_GPU === 'off') return 'FMTL_SOFTWARE_GPU is off'
  if (!isDebian() || which('apt-get') == null) return 'no Debian'
  if (process.getuid() !== 0) return `not root; type: sudo apt-get install --no-install-recommends ${PACKAGES.join(' ')}`
  try {
    const { at, reason } = JSON.parse(readFileSync(FAILED, 'utf8'))
    if (Date.now() - at < RETRY_MS) return `${reason} (to try again: rm ${FAILED})`
  } catch {} // never tried
  return undefined
}

function isDebian () {
  try {
    return /^ID=debian$/m.test(readFileSync('/etc/os-release', 'utf8'))
  } catch {
    return false
  }
}

async function install () {
  return await apt(['install', '-y', '--no-install-recommends', ...PACKAGES], INSTALL_MS)
}

async function apt (args, timeoutMs) {
  const patience = ['-o', 'DPkg::Lock::Timeout=10', '-o', 'Acquire::Retries=1', '-o', 'Acquire::http::Timeout=15', '-o', 'Acquire::https::Timeout=15']
  return await run('apt-get', [...patience, ...args], { label: `apt-get ${args[0]}`, env: { DEBIAN_FRONTEND: 'noninteractive' }, timeoutMs })
}

function missing (why) {
  say(`software GPU: none, tests of the WebGPU rung are skipped: ${why}`)
}
