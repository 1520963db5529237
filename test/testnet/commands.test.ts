/** What every command offers to whoever meets it first. */
import test from 'ava'
import { createProgram } from '../../node/cli/program.ts'
import { registerBench } from '../../testnet/bench/index.ts'
import { registerTestnet } from '../../testnet/cli.ts'
import type { Command } from 'commander'

const program = createProgram()
registerTestnet(program)
registerBench(program)

function leaves (command: Command): Command[] {
  return command.commands.length === 0 ? [command] : command.commands.flatMap(leaves)
}

function pathOf (command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`
}

function helpOf (command: Command): string {
  let text = ''
  command.configureOutput({ writeOut: part => { text += part }, writeErr: part => { text += part } })
  command.outputHelp()
  return text
}

const commands = leaves(program)

test('the commands are found', t => {
  const names = commands.map(pathOf)
  t.true(names.length > 14, names.join(', '))
  for (const name of ['fmtl-node up', 'fmtl-node data check', 'fmtl-node testnet up', 'fmtl-node bench net']) t.true(names.includes(name), name)
})

for (const command of commands) {
  const path = pathOf(command)
  test(`${path} has a description, an example of itself and --format`, t => {
    t.regex(command.description(), /^[^\n]{10,}$/)
    t.regex(helpOf(command), new RegExp(`\\nExamples?:\\n  \\$ (?:[A-Z_]+=\\S+ )?${path}\\b`))
    const format = command.options.find(({ long }) => long === '--format')
    t.deepEqual([format?.argChoices, format?.defaultValue], [['text', 'json'], 'text'])
  })
}

test('groups have a description too', t => {
  for (const group of program.commands.filter(({ commands }) => commands.length > 0)) t.regex(group.description(), /^[^\n]{10,}$/)
})
