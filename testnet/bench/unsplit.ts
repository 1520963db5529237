/** The process behind `bench split --impl unsplit`: reads its settings from standard input, prints the times of its steps, ms. */
import { text } from 'node:stream/consumers'
import { LocalTrainer } from '../../src/training/local-trainer.ts'
import { passWork } from '../../src/training/work.ts'
import { createBackend } from '../../src/backend/index.ts'
import { loadBestRung } from '../../src/backend/ladder.ts'
import { openDataset } from '../../src/data/open.ts'
import { tuneHeap } from '../../src/compute/heap.ts'
import type { Charter } from '../../src/federation/charter.ts'
import type { RungName } from '../../src/backend/ladder.ts'

interface Init {
  readonly charter: Charter
  readonly rows: number
  readonly warmup: number
  readonly steps: number
  readonly backend?: RungName
}

tuneHeap()
const { charter, rows, warmup, steps, backend } = JSON.parse(await text(process.stdin)) as Init
const rung = await loadBestRung({ prefer: backend, work: passWork(charter, 'both') })
const dataset = await openDataset('scenes', { seed: charter.seed, clients: 1, rows, tasks: charter.tasks.map(task => task.id) })
const data = await dataset.client(dataset.clientIds[0] as string)
const trainer = new LocalTrainer(createBackend(rung), data, charter.model, charter.training, charter.seed)
for (let step = 0; step < warmup; step++) await trainer.step(step)
const stepMs: number[] = []
for (let step = warmup; step < warmup + steps; step++) {
  const startedAt = performance.now()
  await trainer.step(step)
  stepMs.push(performance.now() - startedAt)
}
process.stdout.write(`${JSON.stringify(stepMs)}\n`)
