/**
 * Generates `messages.generated.ts` next to every `protocols/<name>/messages.proto`.
 *
 * protons writes TypeScript namespaces, which Node cannot strip (they are code, not types), and typings for an older
 * protons-runtime. So its output is read as a syntax tree and each namespace becomes a plain constant with `codec`,
 * `encode` and `decode`. Field readers and writers are taken over as they are; the streaming reader, which nothing
 * here uses, is left out.
 *
 *     node scripts/proto.ts
 */
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { generate } from 'protons'
import ts from 'typescript'

const PROTOCOLS = join(import.meta.dirname, '..', 'protocols')

/** protons' output in, erasable TypeScript out. */
function erasable (code: string): string {
  const file = ts.createSourceFile('messages.ts', code, ts.ScriptTarget.ESNext, true)
  const parts: string[] = []
  for (const statement of file.statements) {
    if (ts.isImportDeclaration(statement)) continue
    if (ts.isInterfaceDeclaration(statement)) {
      parts.push(statement.getText().replaceAll('Uint8Array<ArrayBuffer>', 'Uint8Array'))
    } else if (ts.isModuleDeclaration(statement)) {
      parts.push(codecOf(statement))
    } else {
      throw new Error(`cannot translate '${statement.getText().slice(0, 60)}': use strings or numbers, no enum`)
    }
  }
  const body = parts.join('\n\n').replaceAll('uint8ArrayAlloc(0)', 'new Uint8Array(0)')
  const used = ['decodeMessage', 'encodeMessage', 'MaxLengthError', 'message'].filter(name => body.includes(name + '(') || body.includes(name + '<'))
  return [
    '// Generated from messages.proto by scripts/proto.ts: do not edit.',
    '// @ts-nocheck',
    `import { ${used.join(', ')} } from 'protons-runtime'`,
    "import type { Codec, DecodeOptions } from 'protons-runtime'",
    '',
    body,
    ''
  ].join('\n')
}

function codecOf (declaration: ts.ModuleDeclaration): string {
  const name = declaration.name.text
  let call: ts.CallExpression | undefined
  const find = (node: ts.Node): void => {
    if (ts.isCallExpression(node) && node.expression.getText() === 'message') call = node
    else if (ts.isModuleDeclaration(node)) throw new Error(`${name}: nested messages and maps are not translated`)
    else ts.forEachChild(node, find)
  }
  ts.forEachChild(declaration, find)
  const [write, read] = call?.arguments ?? []
  if (write == null || read == null) throw new Error(`${name}: protons wrote no codec`)
  const codec = `codec${name}`
  return [
    `const ${codec}: Codec<${name}, Partial<${name}>> = message<${name}, Partial<${name}>>(${dedent(write.getText())}, ${dedent(read.getText())}, function * () {})`,
    '',
    `export const ${name} = {`,
    `  codec: (): Codec<${name}, Partial<${name}>> => ${codec},`,
    `  encode: (obj: Partial<${name}>): Uint8Array<ArrayBuffer> => encodeMessage(obj, ${codec}),`,
    `  decode: (buf: Uint8Array, opts?: DecodeOptions<${name}>): ${name} => decodeMessage(buf, ${codec}, opts)`,
    '}'
  ].join('\n')
}

/** The functions stood six spaces deep inside their namespace. */
function dedent (text: string): string {
  return text.replaceAll('\n      ', '\n')
}

const out = await mkdtemp(join(tmpdir(), 'fmtl-proto-'))
try {
  for (const entry of await readdir(PROTOCOLS, { recursive: true })) {
    if (!entry.endsWith('messages.proto')) continue
    const source = join(PROTOCOLS, entry)
    await generate(source, { output: out })
    await writeFile(source.replace(/\.proto$/, '.generated.ts'), erasable(await readFile(join(out, 'messages.ts'), 'utf8')))
  }
} finally {
  await rm(out, { recursive: true })
}
