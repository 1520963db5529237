import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { once } from 'node:events'
import { promisify } from 'node:util'
import { readdir } from 'node:fs/promises'
import test from 'ava'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { components } from '../../node/components.ts'
import { createNode } from '../../node/libp2p.ts'
import { enterSite, foundSite, temporaryHome, until } from './membership/helpers.ts'
import { examineNetwork, examineRunning, networkLines } from '../../node/network/examine.ts'
import { idleReason } from '../../node/cli/doctor.ts'
import { membershipOf } from '../../node/membership/doctor.ts'
import { serveReach } from '../../protocols/reach/index.ts'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { DoctorReport } from '../../node/cli/doctor.ts'

const run = promisify(execFile)
const BIN = fileURLToPath(new URL('../../scripts/fmtl-node.mjs', import.meta.url))

async function doctor (args: string[], env: Record<string, string> = {}): Promise<string> {
  const { stdout } = await run(process.execPath, [BIN, 'doctor', ...args], { env: { ...process.env, ...env } })
  return stdout
}

test('doctor prints one line of JSON with every rung', async t => {
  const stdout = await doctor(['--format', 'json'], { FMTL_BACKEND: '' })
  t.is(stdout.trimEnd().split('\n').length, 1)
  const report = JSON.parse(stdout) as DoctorReport
  t.deepEqual(Object.keys(report), ['backend', 'rungs', 'problems', 'next', 'network'])
  t.deepEqual(report.rungs.map(rung => rung.name), ['webgpu', 'tensorflow', 'wasm', 'cpu'])
  for (const rung of report.rungs) {
    t.deepEqual(Object.keys(rung), ['name', 'loads', 'gflops', 'trainStepMs', 'device', 'software', 'reason'])
    if (rung.loads) {
      t.true(rung.gflops != null && rung.gflops > 0, rung.name)
      t.true(rung.trainStepMs != null && rung.trainStepMs > 0, rung.name)
    } else {
      t.regex(rung.reason ?? '', /^[^\n]+$/, rung.name)
    }
  }
  t.is(report.backend, report.rungs.find(rung => rung.loads && rung.reason == null)?.name ?? null)
  t.true(report.next.length > 0)
})

test('FMTL_BACKEND moves the start of the ladder down, and the table marks what serves', async t => {
  const stdout = await doctor([], { FMTL_BACKEND: 'wasm' })
  t.regex(stdout, /^> {2}wasm +yes +\d+\.\d +\d+\.\d\d {2}serves$/m)
  t.regex(stdout, /^next: /m)
})

test('an unknown FMTL_BACKEND is one line and a failing exit status', async t => {
  const err = await t.throwsAsync<Error & { code: number, stderr: string }>(doctor([], { FMTL_BACKEND: 'abacus' }))
  t.is(err?.code, 2)
  t.regex(err?.stderr ?? '', /^fmtl-node: FMTL_BACKEND is 'abacus', not one of webgpu, tensorflow, wasm, cpu\n$/)
})

test('doctor asks a running node whether it can dial this one', async t => {
  const node = await createNode({ privateKey: await generateKeyPair('Ed25519'), profile: 'testnet' })
  t.teardown(async () => { await node.stop() })
  const stop = await serveReach(components(node))
  const address = node.getMultiaddrs()[0]?.toString() ?? ''
  // 0.0.0.0 and loopback: the asked node sees this one come from 127.0.0.1, where it listens too
  const report = await examineNetwork({ listen: ['/ip4/0.0.0.0/tcp/0'], announce: [], peers: [address] })
  const [peer] = report.peers
  if (peer == null || peer.roundTripMs == null) return t.fail(JSON.stringify(report))
  t.is(peer.problem, null)
  t.regex(peer.seenAs ?? '', /^\/ip4\/127\.0\.0\.1\/tcp\/\d+/)
  t.true(report.reachable)
  t.regex(report.verdict, /^others can reach this node at \/ip4\/127\.0\.0\.1\/tcp\/\d+$/)
  const lines = networkLines(report)
  t.true(lines.some(line => /^listens on \/ip4\/127\.0\.0\.1\/tcp\/\d+ \(loopback\)$/.test(line)), lines.join('\n'))
  await stop()
  const unasked = await examineNetwork({ listen: ['/ip4/0.0.0.0/tcp/0'], announce: [], peers: [address] })
  t.is(unasked.peers[0]?.problem, 'it does not answer /fmtl/reach/1.0.0')
  t.is(unasked.verdict, 'whether others can dial this node is not known: no member could say')
  await node.stop()
  const dead = await examineNetwork({ listen: [], announce: [], peers: [address] })
  t.regex(dead.peers[0]?.problem ?? '', /ECONNREFUSED/)
  t.is(dead.verdict, 'whether others can dial this node is not known: this node listens nowhere')
})

test('doctor knows the members of a home whose node does not run, and writes nothing into a home without a consortium', async t => {
  const ann = await foundSite(t, 'ann')
  const bea = await enterSite(t, ann, 'bea')
  await until(() => ann.presence.known.has(bea.membership.signer.peer))
  await ann.stop()
  const known = await membershipOf(ann.home)
  t.deepEqual(known?.peers, [...bea.addresses])
  t.deepEqual(known?.membership.networkKey, ann.membership.networkKey)
  const empty = await temporaryHome(t)
  t.is(await membershipOf(empty), undefined)
  t.deepEqual(await readdir(empty), [])
})

test('a running node is examined over the connections that it has, and keeps them', async t => {
  const [node, member] = await Promise.all([0, 1].map(async () => await createNode({ privateKey: await generateKeyPair('Ed25519'), profile: 'testnet', listen: ['/ip4/0.0.0.0/tcp/0'] })))
  if (node === undefined || member === undefined) return t.fail()
  t.teardown(async () => { await Promise.all([node.stop(), member.stop()]) })
  const stop = await serveReach(components(member))
  t.teardown(stop)
  const address = member.getMultiaddrs()[0] as Multiaddr
  const identified = once(node, 'peer:identify')
  const { id } = await node.dial(address)
  await identified
  const report = await examineRunning(node, { announce: [], peers: [address.toString()] })
  t.is(report.peers[0]?.problem, null)
  t.regex(report.peers[0]?.seenAs ?? '', /^\/ip4\/127\.0\.0\.1\/tcp\/\d+/)
  t.true(report.reachable)
  t.true(node.getConnections().some(connection => connection.id === id))
})

test('doctor says whose port is taken, and that nobody was asked', async t => {
  const node = await createNode({ privateKey: await generateKeyPair('Ed25519'), profile: 'testnet' })
  t.teardown(async () => { await node.stop() })
  const taken = node.getMultiaddrs()[0]?.decapsulate('/p2p').toString() ?? ''
  const report = await examineNetwork({ listen: [taken], announce: [], peers: [] })
  t.regex(report.problem ?? '', /^address 127\.0\.0\.1:\d+ is already in use; choose another port, or stop the program that has it$/)
  t.is(report.verdict, 'whether others can dial this node is not known: this node listens nowhere')
})

test('where a graphics device serves, TensorFlow serves what is too small for it, unless somebody asked for the device', t => {
  const tensorflow = { name: 'tensorflow', software: false, prefer: undefined, above: 'webgpu' } as const
  t.is(idleReason(tensorflow), 'serves models whose passes are too small for webgpu')
  t.is(idleReason({ ...tensorflow, prefer: 'webgpu' }), null)
  t.is(idleReason({ ...tensorflow, above: null }), null)
  t.is(idleReason({ ...tensorflow, name: 'wasm' }), null)
})
