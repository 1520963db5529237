/** `fmtl-node strategies`: what `--strategy`, `--rule`, `--merge-rule` and a charter's `projection` and `merge` may say. */
import { methods } from '../../src/methods/index.ts'
import { ruleNames, ruleOptions, ruleSource } from '../../src/projection/index.ts'
import { strategies } from '../../src/strategies/index.ts'
import { weightingNames, weightingOptions, weightingSource } from '../../src/weighting/index.ts'
import { examples, formatOption } from './help.ts'
import { clean, table } from './format.ts'
import { isOutside } from '../../src/projection/outside.ts'
import { loadStrategy, readStrategyFile } from '../../src/strategies/outside.ts'
import type { Command } from 'commander'
import type { Format } from './help.ts'
import type { OptionRanges } from '../../src/options.ts'
import type { OpenedStrategy } from '../../src/strategies/outside.ts'

export function registerStrategies (program: Command): void {
  const command = program.command('strategies')
    .description('the ways to train together, the gradient rules and the loss weightings; or what a strategy file of your own says')
    .argument('[file]', 'a strategy file to check, such as ./mine.ts')
    .addOption(formatOption())
    .action(async (file: string | undefined, { format }: { format: Format }) => {
      if (file !== undefined) {
        process.stdout.write(describeFile(await loadFile(file), format))
        return
      }
      if (format === 'json') {
        for (const { name, source, kind } of strategies) process.stdout.write(`${JSON.stringify({ name, source, kind })}\n`)
        for (const name of ruleNames) process.stdout.write(`${JSON.stringify({ type: 'rule', name, source: ruleSource(name), options: Object.keys(ruleOptions(name)) })}\n`)
        for (const name of weightingNames) process.stdout.write(`${JSON.stringify({ type: 'weighting', name, source: weightingSource(name), options: Object.keys(weightingOptions(name)) })}\n`)
        for (const { name, options } of methods) process.stdout.write(`${JSON.stringify({ type: 'method', name, options: options({}) })}\n`)
        process.stdout.write(`${JSON.stringify({ type: 'summary', strategies: strategies.length, methods: methods.map(({ name }) => name), rules: ruleNames, weightings: weightingNames })}\n`)
        return
      }
      const rows = strategies.map(({ name, source, kind, projection, merge, method }) => kind === 'alone'
        ? [name, kind, '', 'nothing is exchanged', source]
        : kind === 'peer'
          ? [name, kind, 'own models', 'nobody hosts: models are traded', source]
          : [name, kind, method !== undefined ? `method ${String(method.name)}` : kind === 'whole' ? 'mean by rows' : `${projection.rule}, strict ${projection.strict}`, `hosts merge: ${merge.mode}`, source])
      const width = process.stdout.columns ?? 120
      const lines = table([{ title: 'strategy' }, { title: 'model' }, { title: 'rule' }, { title: 'merging' }, { title: 'source', shrink: true }], rows, { width })
      const rules = table([{ title: 'gradient rule' }, { title: 'options' }, { title: 'source', shrink: true }], ruleNames.map(name => [name, optionsIn(ruleOptions(name)), ruleSource(name)]), { width })
      const weightings = table([{ title: 'loss weighting' }, { title: 'options' }, { title: 'source', shrink: true }], weightingNames.map(name => [name, optionsIn(weightingOptions(name)), weightingSource(name)]), { width })
      const ofMethods = table([{ title: 'method' }, { title: 'options (--set method.KEY=VALUE) and their defaults', shrink: true }], methods.map(({ name, options }) => [name, defaultsIn(options({}))]), { width })
      process.stdout.write([lines, ofMethods, rules, weightings].map(part => `${part.join('\n')}\n`).join('\n'))
    })
  examples(command, 'fmtl-node strategies', 'fmtl-node strategies ./mine.ts')
}

async function loadFile (path: string): Promise<Required<Omit<OpenedStrategy, 'rule'>>> {
  const file = await readStrategyFile(path)
  return { ...await loadStrategy(file), file }
}

function describeFile ({ strategy, file }: Required<Omit<OpenedStrategy, 'rule'>>, format: Format): string {
  const { name, source, kind, projection, merge } = strategy
  const { rule } = projection
  if (format === 'json') return `${JSON.stringify({ type: 'summary', name, source, kind, file: file.path, sha256: file.hash, rule: rule ?? null })}\n`
  return `${file.path} is in order\nstrategy   ${name}, ${kind} (${clean(source)})\nrule       ${rule ?? 'the default'}${isOutside(rule) ? ', as charters will name it' : ''}\nmerging    ${merge.mode ?? 'the default'}\n`
}

function defaultsIn (options: object): string { return Object.entries(options).map(([key, value]) => `${key} ${typeof value === 'string' ? value : JSON.stringify(value)}`).join(', ') }

function optionsIn (options: OptionRanges): string { return Object.keys(options).join(', ') || '-' }
