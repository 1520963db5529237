#!/usr/bin/env node
/**
 * `npm run scenarios`: what takes minutes and so is no part of `npm test`, one file after the other (figures are printed as
 * they come). Arguments go to ava: `npm run scenarios -- test/scenarios/mtsl-digits.scenario.ts`.
 */
import { runAva } from './run-ava.mjs'

await runAva(['--config', 'test/scenarios/ava.config.mjs', ...process.argv.slice(2)])
