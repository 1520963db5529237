/** Daemons over TCP write down who contributed what; an audit of their homes computes their merges again, and finds what was forged. */
import { execFile } from 'node:child_process'
import { cp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { audit } from '../../node/audit/audit.ts'
import { inOneLine } from '../../node/audit/report.ts'
import { fromLine, readLedgerEntry, writeLedgerEntry } from '../../src/ledger/index.ts'
import { planTestnet } from '../../testnet/plan.ts'
import { runTestnet } from '../../testnet/testnet.ts'
import { seededIdentity, signerOf } from '../../node/store/identity.ts'
import { fileOf, flipped, folder } from '../helpers/ledger.ts'
import type { AuditReport } from '../../node/audit/report.ts'
import type { ExecutionContext } from 'ava'
import type { LedgerEntry } from '../../src/ledger/index.ts'
import type { RoundEntry } from '../../node/audit/rounds.ts'
import type { TestnetOptions } from '../../testnet/plan.ts'

const CLI = fileURLToPath(new URL('../../scripts/fmtl-node.mjs', import.meta.url))
const HOSTS = ['host-1', 'host-2']

const options: TestnetOptions = {
  hosts: 2,
  clients: 4,
  data: 'scenes',
  rows: 24,
  strategy: 'fedbone',
  seed: 11,
  backend: 'wasm',
  control: false,
  baseline: false,
  runner: 'process',
  charter: {
    model: { width: 16, layers: 1, heads: 2, hidden: 16, embedder: { kind: 'patches', patch: 8 } },
    training: { rounds: 3, stepsPerRound: 3, batch: 8, warmup: 2 },
    merge: { mode: 'all', codec: 'int8' }
  }
}

async function entriesIn (home: string): Promise<LedgerEntry[]> {
  const text = await readFile(join(home, 'ledger.log'), 'latin1')
  return text.trimEnd().split('\n').map(line => readLedgerEntry(fromLine(line)))
}

/** Its author's own signature on whatever `change` makes of an entry, and on all that follow. */
async function forge (home: string, label: string, change: (entry: LedgerEntry) => LedgerEntry): Promise<void> {
  const signer = signerOf(await seededIdentity(options.seed, label))
  const forged: LedgerEntry[] = []
  for (const entry of await entriesIn(home)) {
    const { hash, by, seq, prev, at, net, members, charter, bytes, ...act } = change(entry)
    const last = forged.at(-1)
    forged.push(last === undefined && act.kind === 'start' ? entry : await writeLedgerEntry(signer, act, { net, members, charter }, { seq, prev: last?.hash ?? prev, at }))
  }
  await writeFile(join(home, 'ledger.log'), fileOf(forged))
}

function forgedEnd (entry: LedgerEntry): LedgerEntry { return entry.kind === 'round' && entry.round === 2 ? { ...entry, after: 'f0'.repeat(32) } : entry }

async function homeAgain (t: ExecutionContext, home: string): Promise<string> {
  const copy = join(await folder(t), 'home')
  await cp(home, copy, { recursive: true })
  return copy
}

async function cli (...args: string[]): Promise<{ code: number, lines: string[] }> {
  return await new Promise(resolve => {
    execFile(process.execPath, [CLI, 'audit', ...args], (error, stdout) => { resolve({ code: error === null ? 0 : Number(error.code), lines: stdout.trimEnd().split('\n') }) })
  })
}

test('every node\'s audit is in order, merges are computed again, and what was forged is found', async t => {
  const home = await folder(t)
  const { clients } = await planTestnet(options)
  const meanwhile: Array<Promise<AuditReport>> = []
  const summary = await runTestnet({ ...options, home }, event => {
    if (event.type === 'round') meanwhile.push(audit(join(home, event.node)))
  }, AbortSignal.timeout(110_000))
  t.true(summary.complete, summary.missing.join('; '))

  t.is(meanwhile.length, 6)
  for (const { ok, entries, problems } of await Promise.all(meanwhile)) {
    t.true(ok, problems.map(inOneLine).join('\n'))
    t.true(entries >= 2)
  }

  const rounds: RoundEntry[][] = []
  for (const host of HOSTS) {
    const { ok, recomputed, skipped, problems } = await audit(join(home, host))
    t.true(ok, problems.map(inOneLine).join('\n'))
    t.deepEqual(recomputed, [1, 2])
    t.deepEqual(skipped, [{ round: 0, why: 'no checkpoint from before it is left' }])
    const entries = await entriesIn(join(home, host))
    t.deepEqual(entries.map(({ kind }) => kind), ['start', 'round', 'round', 'round', 'stop'])
    rounds.push(entries.filter(entry => entry.kind === 'round'))
    t.is((await readdir(join(home, host, 'deltas'))).length, 6)
  }
  const [one, two] = rounds as [RoundEntry[], RoundEntry[]]
  t.deepEqual(one.map(({ after }) => after), two.map(({ after }) => after))
  t.deepEqual(one.map(({ merged }) => merged), two.map(({ merged }) => merged))
  t.deepEqual(one.map(({ contributors }) => contributors.map(({ client, steps, samples }) => [client, steps, samples > 0])), Array.from({ length: 3 }, () =>
    clients.filter(({ host }) => host === one[0]?.by).map(({ peer }) => [peer, 3, true]).sort()))

  for (const { name, host } of clients) {
    const { ok, problems } = await audit(join(home, name))
    t.true(ok, problems.map(inOneLine).join('\n'))
    const taken = (await entriesIn(join(home, name))).filter(entry => entry.kind === 'take')
    const served = rounds.find(([first]) => first?.by === host) as RoundEntry[]
    t.deepEqual(taken.map(({ host, round, step, report }) => ({ host, round, step, report })), served.map(({ by, round, step, report }) => ({ host: by, round, step, report })))
  }

  const host = join(home, 'host-1')
  const sound = await cli('verify', '--home', host, '--format', 'json')
  t.is(sound.code, 0)
  t.like(JSON.parse(sound.lines.at(-1) as string), { type: 'summary', ok: true, entries: 5, problems: [] })
  const shown = await cli('show', '--home', host, '--since', '3', '--format', 'json')
  t.deepEqual(shown.lines.map(line => (JSON.parse(line) as { kind?: string, type: string }).kind ?? 'summary'), ['round', 'round', 'stop', 'summary'])

  {
    const copy = await homeAgain(t, host)
    const [, , last] = one as [RoundEntry, RoundEntry, RoundEntry]
    const path = join(copy, 'deltas', last.merged[1]?.cid as string)
    await writeFile(path, flipped(await readFile(path), 99, 1))
    const { ok, recomputed, skipped, problems } = await audit(copy)
    t.false(ok)
    t.deepEqual(problems.map(({ file }) => file), [`deltas/${last.merged[1]?.cid}`])
    t.deepEqual(recomputed, [1])
    t.regex(skipped.at(-1)?.why as string, /^delta [0-9a-f]{12} is damaged$/)
  }

  {
    const copy = await homeAgain(t, host)
    await forge(copy, 'host-1', forgedEnd)
    // the checkpoint of the forged state would give it away too
    const checkpoints = join(copy, 'checkpoints', 'host')
    const [newest] = (await readdir(checkpoints)).sort().reverse()
    await rm(join(checkpoints, newest as string))
    const found = await cli('verify', '--home', copy, '--format', 'json')
    t.is(found.code, 55)
    const { ok, problems } = JSON.parse(found.lines.at(-1) as string) as AuditReport
    t.false(ok)
    t.is(problems.length, 1)
    t.regex(inOneLine(problems[0] as AuditReport['problems'][0]), /^ledger.log: entry 4: the 2 deltas of round 2 give state [0-9a-f]{12}, the entry says f0f0f0f0f0f0$/)
  }

  {
    const copy = await homeAgain(t, host)
    await rm(join(copy, 'deltas'), { recursive: true })
    await forge(copy, 'host-1', forgedEnd)
    const { problems } = await audit(copy)
    t.regex(problems.map(inOneLine).join('\n'), /^ledger.log: entry 4: round 2 ended with state f0f0f0f0f0f0, says the entry; checkpoints\/host\/\S+ holds [0-9a-f]{12}$/)
  }

  const copy = await homeAgain(t, host)
  await writeFile(join(copy, 'ledger.log'), fileOf((await entriesIn(copy)).slice(0, 3)))
  t.regex((await audit(copy)).problems.map(inOneLine).join('\n'), /^ledger.log: it ends with round 1, at step 6; checkpoints\/host\/\S+ is from a later round: entries were cut off$/)
})
