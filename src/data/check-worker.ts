/** One check, in a thread that ./check-thread.ts starts. What it throws is a fault of ours and ends the thread. */
import { parentPort, workerData } from 'node:worker_threads'
import { checkDataset } from './check.ts'
import type { CheckOrder } from './check-thread.ts'

const { path, options } = workerData as CheckOrder
parentPort?.postMessage(await checkDataset(path, options))
