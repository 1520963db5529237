/** `fmtl-node charter`: the settings that all members of a consortium train under, made from a data set's recipe, as JSON. */
import { writeFile } from 'node:fs/promises'
import { InvalidParametersError } from '../../src/errors.ts'
import { charterHash, createCharter } from '../../src/federation/charter.ts'
import { openStrategy, ruleFile } from '../../src/strategies/outside.ts'
import { settingsOf } from '../../src/strategies/index.ts'
import { examples, formatOption, foundationOption, strategyOption } from './help.ts'
import { readFoundation } from '../foundation/file.ts'
import { loadConfig } from '../config/config.ts'
import { openDataset } from '../../src/data/open.ts'
import type { Charter } from '../../src/federation/charter.ts'
import type { Command } from 'commander'
import type { Format } from './help.ts'
import type { Strategy } from '../../src/strategies/index.ts'
import type { Config } from '../config/config.ts'

export function registerCharter (program: Command): void {
  const command = program.command('charter')
    .description('write the charter that all members of a consortium train under, from a data set\'s recipe')
    .option('--data <path>', 'a data set with the consortium\'s inputs and tasks, or several, separated by commas; rows are not used')
    .option('--name <name>', 'name of the consortium')
    .option('--seed <n>', 'everything random follows from it')
    .option('--codec <codec>', 'activations and gradients on the wire: f32, f16, bf16 or int8 (`fmtl-node plan` advises)')
    .addOption(strategyOption())
    .addOption(foundationOption())
    .option('--config <file>', 'configuration file; its charter section comes before the recipe')
    .option('--set <key=value>', 'a setting such as charter.training.rounds=20; may be repeated', (value: string, all: string[]) => [...all, value], [])
    .option('--out <file>', 'write it there (default: standard output)')
    .addOption(formatOption())
    .action(async (flags: { data?: string, name?: string, seed?: string, codec?: string, strategy?: string, foundation?: string, config?: string, set: string[], out?: string, format: Format }) => {
      const config = loadConfig({
        ...flags.config === undefined ? {} : { file: flags.config },
        env: process.env,
        flags: { 'data.path': flags.data, 'charter.name': flags.name, 'charter.seed': flags.seed, 'charter.cutCodec': flags.codec, 'node.strategy': flags.strategy, 'node.foundation': flags.foundation },
        sets: flags.set
      })
      const opened = await openStrategy(config.node.strategy)
      const charter = await charterFromData(config, opened.strategy)
      const json = `${JSON.stringify(charter, null, flags.out === undefined && flags.format === 'json' ? 0 : 2)}\n`
      if (flags.out === undefined) {
        process.stdout.write(json)
        return
      }
      await writeFile(flags.out, json)
      const [hash, tasks] = [charterHash(charter), charter.tasks.map(task => task.id)]
      const needs = ruleFile(charter, opened)
      process.stdout.write(flags.format === 'json'
        ? `${JSON.stringify({ success: true, out: flags.out, hash, name: charter.name, tasks, ...needs === undefined ? {} : { strategyFile: needs.path, rule: charter.projection.rule } })}\n`
        : `${flags.out}: charter ${hash} of ${charter.name}, tasks ${tasks.join(', ')}\n${needs === undefined ? '' : `every member needs ${needs.path} too, this very version: ${charter.projection.rule}\n`}`)
    })
  examples(command,
    'fmtl-node charter --data ./our-data --name lab --out charter.json',
    'fmtl-node charter --data ./our-data --strategy ./mine.ts --out charter.json',
    'fmtl-node charter --data ./our-data --strategy fedavg --foundation vit.safetensors --out charter.json')
}

/** @throws {InvalidParametersError | DataError | FoundationError} no data, a model that cannot be used, or settings that cannot be */
export async function charterFromData ({ node, data, charter: own = {} }: Config, strategy: Strategy): Promise<Charter> {
  if (data.path === undefined) throw new InvalidParametersError('a charter is made from data: inputs and tasks come from there', { next: 'give --data PATH' })
  const seed = own.seed ?? DEFAULT_SEED
  const dataset = await openDataset(data.path, { seed, ...data.tasks === undefined ? {} : { tasks: data.tasks } })
  const { recipe } = dataset
  const foundation = node.foundation === undefined ? undefined : (await readFoundation(node.foundation)).model
  return createCharter({
    ...own,
    name: own.name ?? dataset.name,
    seed,
    input: dataset.input,
    ...dataset.inputs === undefined ? {} : { inputs: dataset.inputs },
    tasks: dataset.tasks,
    ...settingsOf(strategy, recipe, foundation === undefined ? own : { ...own, model: { ...foundation, ...own.model } })
  })
}

/** Members that name no seed must still mean the same one. */
const DEFAULT_SEED = 1
