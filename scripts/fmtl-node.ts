/** The command line, composed: the commands of a node and those of the testnet. Errors end in one line: what, why, what next. */
import { keepCompiled } from '../node/compile-cache.ts'

keepCompiled() // before the imports that it is for

/** A reader that has seen enough, such as `| head`, ends a command as its signal would. */
const SIGPIPE = 128 + 13
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  process.exit(SIGPIPE)
})

const [{ createProgram, runProgram }, { registerBench }, { registerTestnet }] = await Promise.all([
  import('../node/cli/program.ts'),
  import('../testnet/bench/index.ts'),
  import('../testnet/cli.ts')
])
const program = createProgram()
registerTestnet(program)
registerBench(program)
await runProgram(program)
