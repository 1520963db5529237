/** `fmtl-node import`: a model's folder in Hugging Face's layout becomes one file that a charter can build on. */
import { arrange, planImport, preparation } from '../../src/foundation/hugging-face.ts'
import { clean } from './format.ts'
import { examples, formatOption } from './help.ts'
import { openModelFolder } from '../foundation/folder.ts'
import { withHash } from '../../src/foundation/weights.ts'
import { writeFoundation } from '../foundation/file.ts'
import type { Command } from 'commander'
import type { Format } from './help.ts'
import type { LoadedFoundation } from '../../src/foundation/weights.ts'
import type { PictureStep } from '../../src/foundation/hugging-face.ts'

interface Imported {
  readonly out: string
  readonly bytes: number
  readonly model: LoadedFoundation['model']
  readonly parameters: number
  /** Tensors of the folder that are no part of an encoder. */
  readonly unused: readonly string[]
  /** For the manifest: what the model's own preprocessor does to pictures. */
  readonly prepare?: readonly PictureStep[]
  /** For the manifest: the model's own tokenizer. */
  readonly tokenizer?: string
}

export function registerImport (program: Command): void {
  const command = program.command('import')
    .description('make a pretrained encoder (ViT, DeiT, BERT, DistilBERT) from a folder on this machine into a file that a charter can build on')
    .argument('<folder>', 'config.json and model.safetensors, or shards with their index, as transformers saves them')
    .requiredOption('--out <file>', 'write it there')
    .addOption(formatOption())
    .action(async (folder: string, { out, format }: { out: string, format: Format }) => {
      const imported = await importFolder(folder, out)
      process.stdout.write(format === 'json' ? `${JSON.stringify({ type: 'summary', success: true, ...imported })}\n` : describe(imported))
    })
  examples(command, 'fmtl-node import ./vit-base --out vit.safetensors', 'fmtl-node charter --data ./our-data --strategy fedavg --foundation vit.safetensors --out charter.json')
}

async function importFolder (path: string, out: string): Promise<Imported> {
  const folder = await openModelFolder(path)
  try {
    const plan = planImport(folder.config)
    const { tensors, unused } = await arrange(plan, folder)
    const loaded = withHash(plan.model, tensors)
    return {
      out,
      bytes: await writeFoundation(out, loaded),
      model: loaded.model,
      parameters: tensors.reduce((sum, { tensor: { data } }) => sum + data.length, 0),
      unused,
      ...plan.model.foundation.pictures === undefined || folder.preprocessor === undefined ? {} : { prepare: preparation(folder.preprocessor) },
      ...plan.model.foundation.texts === undefined || folder.tokenizer === undefined ? {} : { tokenizer: folder.tokenizer }
    }
  } finally {
    await folder.close()
  }
}

function describe ({ out, bytes, model, parameters, unused, prepare, tokenizer }: Imported): string {
  const { width, layers, heads, foundation: { family, sha256, pictures, texts } } = model
  const reads = pictures === undefined
    ? `texts of up to ${texts?.positions} tokens out of ${texts?.vocabulary}`
    : `pictures of ${pictures.size} x ${pictures.size} x ${pictures.channels} in patches of ${pictures.patch}`
  return [
    `${out}: ${family}, ${layers} layers of width ${width} with ${heads} heads, ${parameters} parameters, ${bytes} bytes`,
    `reads      ${reads}`,
    `sha-256    ${sha256}`,
    ...unused.length === 0 ? [] : [`left out   ${clean(unused.slice(0, 6).join(', '))}${unused.length > 6 ? `, and ${unused.length - 6} more` : ''}`],
    ...prepare === undefined ? [] : [`manifest   input.prepare: ${JSON.stringify(prepare)}`],
    ...tokenizer === undefined ? [] : [`manifest   copy ${clean(tokenizer)} to the data and name it as input.tokenizer`],
    `next       fmtl-node charter --data PATH --foundation ${out} --out charter.json; every site needs this very file`
  ].map(line => `${line}\n`).join('')
}
