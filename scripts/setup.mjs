#!/usr/bin/env node
/**
 * `npm run setup`: everything a fresh machine needs, step by step, falling back where a step cannot be done. Plain
 * JavaScript without dependencies, because the system's Node (20 or newer) runs it before anything is installed. Safe to run
 * at any time: it does only what is missing, and nothing within a fraction of a second when all is in place.
 *
 * `--native` does the TensorFlow step alone and always (`fmtl-node doctor --fix` calls it).
 */
import { setup } from './setup/index.mjs'

const { ok } = await setup({ nativeOnly: process.argv.includes('--native'), verbose: true })
process.exitCode = ok ? 0 : 1
