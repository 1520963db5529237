/** `fmtl-node strategies`: what `--strategy`, `--rule`, `--merge-rule` and a charter's `projection` and `merge` may say. */
import { ruleNames, ruleOptions, ruleSource } from '../../src/projection/index.ts'
import { strategies } from '../../src/strategies/index.ts'
import { weightingNames, weightingOptions, weightingSource } from '../../src/weighting/index.ts'
import { examples, formatOption } from './help.ts'
import { table } from './format.ts'
import type { Command } from 'commander'
import type { Format } from './help.ts'
import type { OptionRanges } from '../../src/options.ts'

export function registerStrategies (program: Command): void {
  const command = program.command('strategies')
    .description('the ways to train together, the gradient rules and the loss weightings')
    .addOption(formatOption())
    .action(({ format }: { format: Format }) => {
      if (format === 'json') {
        for (const { name, source, kind } of strategies) process.stdout.write(`${JSON.stringify({ name, source, kind })}\n`)
        for (const name of ruleNames) process.stdout.write(`${JSON.stringify({ type: 'rule', name, source: ruleSource(name), options: Object.keys(ruleOptions(name)) })}\n`)
        for (const name of weightingNames) process.stdout.write(`${JSON.stringify({ type: 'weighting', name, source: weightingSource(name), options: Object.keys(weightingOptions(name)) })}\n`)
        process.stdout.write(`${JSON.stringify({ type: 'summary', strategies: strategies.length, rules: ruleNames, weightings: weightingNames })}\n`)
        return
      }
      const rows = strategies.map(({ name, source, kind, projection, merge }) => kind === 'alone'
        ? [name, kind, '', 'nothing is exchanged', source]
        : [name, kind, kind === 'whole' ? 'mean by rows' : `${projection.rule}, strict ${projection.strict}`, `hosts merge: ${merge.mode}`, source])
      const width = process.stdout.columns ?? 120
      const lines = table([{ title: 'strategy' }, { title: 'model' }, { title: 'rule' }, { title: 'merging' }, { title: 'source', shrink: true }], rows, { width })
      const rules = table([{ title: 'gradient rule' }, { title: 'options' }, { title: 'source', shrink: true }], ruleNames.map(name => [name, optionsIn(ruleOptions(name)), ruleSource(name)]), { width })
      const weightings = table([{ title: 'loss weighting' }, { title: 'options' }, { title: 'source', shrink: true }], weightingNames.map(name => [name, optionsIn(weightingOptions(name)), weightingSource(name)]), { width })
      process.stdout.write([lines, rules, weightings].map(part => `${part.join('\n')}\n`).join('\n'))
    })
  examples(command, 'fmtl-node strategies')
}

function optionsIn (options: OptionRanges): string { return Object.keys(options).join(', ') || '-' }
