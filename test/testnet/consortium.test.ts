/**
 * A consortium as its members live it, with real processes and the command line alone: found, up, invite, join, admit; rounds
 * of training on hospitals' data; everybody killed and started again; the ledgers verified.
 */
import { join } from 'node:path'
import { once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { text } from 'node:stream/consumers'
import { folderOf } from '../helpers/files.ts'
import { holderOf, isAlive } from '../../node/store/lock.ts'
import { withSharedData } from '../helpers/shared-data.ts'
import type { ExecutionContext } from 'ava'
import type { NodeStatus } from '../../node/telemetry/status.ts'

const COMMAND = fileURLToPath(new URL('../../scripts/fmtl-node.mjs', import.meta.url))
const SITES = ['cleveland', 'hungarian', 'va'] as const
const ROUNDS = 5
/** Two cores that build, test and train at once. */
const PATIENCE_MS = 240_000

interface Ended { readonly status: number | null, readonly stdout: string, readonly stderr: string }

async function run (...args: readonly string[]): Promise<Ended> {
  const child = spawn(process.execPath, [COMMAND, ...args], { stdio: ['ignore', 'pipe', 'pipe'], timeout: PATIENCE_MS, env: { ...process.env, FMTL_BACKEND: 'wasm' } })
  const closed = once(child, 'close') as Promise<[number | null]>
  const [stdout, stderr, [status]] = await Promise.all([text(child.stdout), text(child.stderr), closed])
  return { status, stdout, stderr }
}

async function good (t: ExecutionContext, ...args: readonly string[]): Promise<string> {
  const { status, stdout, stderr } = await run(...args)
  t.is(status, 0, `${args.join(' ')}: ${stderr}`)
  return stdout
}

async function statusAt (home: string): Promise<NodeStatus | undefined> {
  const { status, stdout } = await run('status', '--home', home, '--format', 'json')
  return status === 0 ? JSON.parse(stdout) as NodeStatus : undefined
}

/** Rounds in the ledger of whichever of them hosts, in the order in which they were committed. */
async function committed (t: ExecutionContext, homes: Readonly<Record<string, string>>): Promise<number[]> {
  const ledgers = await Promise.all(Object.values(homes).map(async home => {
    const entries = (await good(t, 'audit', 'show', '--home', home, '--format', 'json')).trim().split('\n').map(line => JSON.parse(line) as { kind?: string, round?: number })
    return entries.flatMap(({ kind, round }) => kind === 'round' && round !== undefined ? [round] : [])
  }))
  return ledgers.reduce((longest, rounds) => rounds.length > longest.length ? rounds : longest, [])
}

async function until (what: string, fact: () => Promise<boolean>): Promise<void> {
  const endsAt = performance.now() + PATIENCE_MS
  while (!await fact()) {
    if (performance.now() > endsAt) throw new Error(`not so within ${PATIENCE_MS / 1000} s: ${what}`)
    await pause(250)
  }
}

withSharedData('heart', 'three hospitals found, join, train, are killed, and go on; their ledgers verify', async (t, data) => {
  t.timeout(3 * PATIENCE_MS)
  const folder = await folderOf(t, {})
  const homes = Object.fromEntries(SITES.map(site => [site, join(folder, site)])) as Record<typeof SITES[number], string>
  t.teardown(() => {
    for (const home of Object.values(homes)) {
      const holder = holderOf(home)
      if (holder !== undefined) process.kill(holder.pid, 'SIGKILL')
    }
  })

  // the founder: four commands
  await good(t, 'found', 'Heart consortium', '--home', homes.cleveland, '--data', data, '--client', 'cleveland', '--name', 'cleveland', '--sites', '3',
    '--set', `charter.training.rounds=${ROUNDS}`, '--set', 'charter.training.stepsPerRound=40')
  await good(t, 'up', '--detach', '--home', homes.cleveland)
  const link = (await good(t, 'invite', '--home', homes.cleveland, '--uses', '2')).trim() // the one string that travels
  const joining = (['hungarian', 'va'] as const).map(async site => {
    // a joiner: two commands
    await good(t, 'join', link, '--home', homes[site], '--data', data, '--client', site, '--name', site, '--yes')
    await good(t, 'up', '--detach', '--home', homes[site])
  })
  await until('two newcomers at the door', async () => {
    const { stdout } = await run('members', '--home', homes.cleveland, '--format', 'json')
    return (JSON.parse(stdout) as { pending: unknown[] }).pending.length === 2
  })
  await good(t, 'admit', '--home', homes.cleveland)
  await Promise.all(joining)

  await until('two committed rounds', async () => (await committed(t, homes)).length >= 2)
  const pids = Object.values(homes).map(home => holderOf(home))
  for (const holder of pids) process.kill(holder?.pid as number, 'SIGKILL')
  await until('all are dead', async () => pids.every(holder => holder !== undefined && !isAlive(holder)))

  const before = await committed(t, homes)
  t.true(before.length < ROUNDS, 'killed in the middle')

  await Promise.all(Object.values(homes).map(async home => await good(t, 'up', '--detach', '--home', home)))
  await until('training is complete everywhere', async () => (await Promise.all(Object.values(homes).map(statusAt))).every(status => status?.done !== undefined))

  const after = await committed(t, homes)
  // a round that was in the ledger and not in the checkpoint yet may be there twice, none is lost and none begins anew
  t.deepEqual(after.slice(0, before.length), before)
  t.true((after[before.length] as number) >= (before.at(-1) as number), `goes on after ${before.join()}: ${after.join()}`)
  t.is(after.at(-1), ROUNDS - 1)
  t.true(after.length <= ROUNDS + 1, after.join())

  for (const site of SITES) {
    const members = JSON.parse(await good(t, 'members', '--home', homes[site], '--format', 'json')) as { members: unknown[], pending: unknown[], invitations: Array<{ used: unknown[] }> }
    t.is(members.members.length, 3, 'nobody joined again')
    t.is(members.pending.length, 0)
    t.deepEqual(members.invitations.map(({ used }) => used.length), [2])
    const audit = JSON.parse((await good(t, 'audit', 'verify', '--home', homes[site], '--format', 'json')).trim().split('\n').at(-1) as string) as { ok: boolean, entries: number, problems: unknown[] }
    t.true(audit.ok, JSON.stringify(audit.problems))
    t.true(audit.entries > ROUNDS)
  }
  const again = await run('join', link, '--home', homes.va, '--yes')
  t.is(again.status, 10)
  t.regex(again.stderr, /^fmtl-node: \S+ belongs to a consortium already; next: [^\n]+\n$/)
  await Promise.all(Object.values(homes).map(async home => await good(t, 'down', '--home', home)))
})
