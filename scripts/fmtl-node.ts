/** The command line, composed: the commands of a node and those of the testnet. Errors end in one line: what, why, what next. */
import { createProgram, runProgram } from '../node/cli/program.ts'
import { registerBench } from '../testnet/bench/index.ts'
import { registerTestnet } from '../testnet/cli.ts'

const program = createProgram()
registerTestnet(program)
registerBench(program)
await runProgram(program)
