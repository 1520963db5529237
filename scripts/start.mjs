#!/usr/bin/env node
/**
 * `npm start`: sets up whatever is missing, then runs the main job, a local testnet of two hosts and four clients on the
 * built-in data. `npm start -- --rounds 5` passes on; a later flag wins over the ones here.
 */
import { join } from 'node:path'
import { setup } from './setup/index.mjs'
import { hand } from './setup/hand-over.mjs'
import { ROOT } from './setup/paths.mjs'

const MAIN_JOB = ['testnet', 'up', '--hosts', '2', '--clients', '4', '--data', 'scenes']

const { ok, node } = await setup()
if (ok) await hand(node, [join(ROOT, 'scripts', 'fmtl-node.ts'), ...MAIN_JOB, ...process.argv.slice(2)])
else process.exitCode = 1
