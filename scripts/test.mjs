#!/usr/bin/env node
/** `npm test`: the tests. Arguments go to ava: `npm test -- test/data`, `npm test -- --match='*wire*'`. */
import { runAva } from './run-ava.mjs'

await runAva(process.argv.slice(2))
