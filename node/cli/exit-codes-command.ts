/** `fmtl-node exit-codes`: the table of ./exit-codes.ts, which `fmtl-node help exit-codes` shows too. */
import { EXIT_ROWS } from './exit-codes.ts'
import { examples, formatOption } from './help.ts'
import { table } from './format.ts'
import type { Command } from 'commander'
import type { Format } from './help.ts'

export function registerExitCodes (program: Command): void {
  const command = program.command('exit-codes')
    .description('what the exit status of a command means')
    .addOption(formatOption())
    .action(({ format }: { format: Format }) => {
      if (format === 'text') process.stdout.write(`${asText()}\n`)
      else for (const row of EXIT_ROWS) process.stdout.write(`${JSON.stringify({ code: null, ...row })}\n`)
    })
  examples(command, 'fmtl-node exit-codes --format json')
  command.addHelpText('after', `\n${asText()}`)
}

function asText (): string {
  const rows = EXIT_ROWS.map(({ status, code = '', meaning }) => [String(status), code, meaning])
  return table([{ title: 'status', align: 'right' }, { title: 'code' }, { title: 'meaning', shrink: true }], rows, { width: process.stdout.columns ?? 120 }).join('\n')
}
