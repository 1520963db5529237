/**
 * Loaded before every test file: properties are tried on the same values each time, so that a change fails for what it does and
 * not by chance. `FMTL_FUZZ_SEED=$RANDOM npm test` looks further.
 */
import { fc } from '@fast-check/ava'

fc.configureGlobal({ ...fc.readConfigureGlobal(), seed: Number(process.env['FMTL_FUZZ_SEED'] ?? 20261123) })
