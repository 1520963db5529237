/** What every command has: an output form, and an example in its help. */
import { Option } from 'commander'
import type { Command } from 'commander'

export type Format = 'text' | 'json'

export function formatOption (): Option {
  return new Option('--format <format>', 'output form; json is one object a line').choices(['text', 'json']).default('text')
}

export function examples (command: Command, ...lines: readonly string[]): Command {
  return command.addHelpText('after', `\nExample${lines.length === 1 ? '' : 's'}:\n${lines.map(line => `  $ ${line}`).join('\n')}`)
}

export function foundationOption (): Option {
  return new Option('--foundation <file>', 'the pretrained model to build on, as `fmtl-node import` wrote it (default: node.foundation)')
}

export function strategyOption (): Option {
  return new Option('--strategy <name|file>', 'how to train together, where no charter is given: a name of `fmtl-node strategies`, or a strategy file such as ./mine.ts (default: node.strategy, else fedbone)')
}
