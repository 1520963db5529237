import { readFileSync, readdirSync } from 'node:fs'
import test from 'ava'
import { parseManifest } from '../../src/data/manifest.ts'
import { DataError } from '../../src/errors.ts'

const good = `name: clinic
files:
  rows: rows.csv
input:
  modality: table
  columns:
    - { name: age, mean: 50, deviation: 10 }
    - { name: sex, oneHot: [f, m] }
clients: { single: clinic }
test: { share: 0.2, stratify: ill }
tasks:
  - { id: ill, kind: classes, column: diagnosis, above: 0 }
`

test('a small manifest is accepted as it stands', (t) => {
  t.is(parseManifest(good, 'fmtl.yaml').name, 'clinic')
})

const folder = new URL('../../src/data/manifests/', import.meta.url)
for (const file of readdirSync(folder)) {
  test(`the built-in manifest ${file} is valid and named like its file`, (t) => {
    t.is(parseManifest(readFileSync(new URL(file, folder), 'utf8'), file).name, file.replace('.yaml', ''))
  })
}

test('the example in the documentation is a valid manifest', (t) => {
  const readme = readFileSync(new URL('../../src/data/README.md', import.meta.url), 'utf8')
  const example = /```yaml\n([\s\S]*?)```/.exec(readme)?.[1] as string
  t.is(parseManifest(example, 'README.md').name, 'sepsis')
})

for (const { id, from, to, says, more } of [
  { id: 'a misspelt key', from: '  columns:', to: '  colums:', says: /^fmtl\.yaml line 6: input\.colums: unknown key; allowed here: modality, columns$/ },
  { id: 'a misspelt key in a list', from: 'deviation: 10', to: 'deviatoin: 10', says: /line 7: input\.columns\.0\.deviatoin: unknown key; allowed here: name, oneHot/ },
  { id: 'a missing key', from: 'test: { share: 0.2, stratify: ill }\n', to: '', says: /the key 'test' is missing/ },
  { id: 'another type', from: 'mean: 50', to: 'mean: fifty', says: /input\.columns\.0\.mean: "fifty" is not a number/ },
  { id: 'a deviation of 0', from: 'deviation: 10', to: 'deviation: 0', says: /deviation: must be > 0/ },
  { id: 'an unknown kind', from: 'kind: classes', to: 'kind: ranking', says: /tasks\.0\.kind: "ranking" is none of classes, regression/ },
  { id: 'an unknown modality', from: 'modality: table', to: 'modality: sound', says: /"sound" is none of image, table/ },
  { id: 'broken YAML', from: 'tasks:', to: 'tasks: [', says: /^fmtl\.yaml line \d+: / },
  { id: 'a name with a slash', from: 'name: clinic', to: 'name: a/b', says: /does not match/ },
  { id: 'two ways of naming clients', from: 'single: clinic', to: 'single: clinic, column: sex', says: /exactly one of single, files, column and ring is needed, not single and column/ },
  { id: 'a file outside the folder', from: 'rows.csv', to: '../../rows.csv', says: /not below the data folder/ },
  { id: 'an absolute file', from: 'rows.csv', to: '/etc/rows.csv', says: /not below the data folder/ },
  { id: '{client} without client files', from: 'rows.csv', to: '\'{client}.csv\'', says: /needs clients: \{ files/ },
  { id: 'two test rules', from: 'share: 0.2', to: 'share: 0.2, last: 0.1, by: day', says: /say it in one way/ },
  { id: 'a stratum that is no task', from: 'stratify: ill', to: 'stratify: sick', says: /test\.stratify: no task 'sick' of kind classes/ },
  { id: 'a task from nowhere', from: 'column: diagnosis, above: 0', to: 'classes: 2', says: /task 'ill' needs exactly one of column, columns and file/ },
  { id: 'a role that is no file', from: 'column: diagnosis, above: 0', to: 'file: labels, classes: 2', says: /no file has the role 'labels', there are rows/ },
  { id: 'two derivations', from: 'above: 0', to: 'above: 0, modulo: 2', says: /in two ways: above and modulo/ },
  { id: 'classes that do not fit a threshold', from: 'above: 0', to: 'above: 0, classes: [a, b, c]', says: /above makes 2 classes/ },
  { id: 'a dense task without pictures', from: 'tasks:\n', to: 'tasks:\n  - { id: edge, kind: dense-binary, column: diagnosis }\n', says: /task 'edge' of kind dense-binary needs file/ },
  { id: 'a recipe for an unknown task', from: 'tasks:\n', to: 'recipe: { tasks: [well] }\ntasks:\n', says: /recipe\.tasks\.0: no task 'well', there are ill/ },
  { id: 'a recipe for an unknown task alone', from: 'tasks:\n', to: 'recipe: { alone: { well: {} } }\ntasks:\n', says: /recipe\.alone: no task 'well', there are ill/ },
  { id: 'a corrected head of no task', from: 'tasks:\n', to: 'recipe: { alone: { ill: { model: { correctedHeads: [well] } } } }\ntasks:\n', says: /recipe\.alone\.ill\.model\.correctedHeads\.0: no task 'well'/ },
  { id: 'an unknown training key', from: 'tasks:\n', to: 'recipe: { training: { learningRate: 1 } }\ntasks:\n', says: /recipe\.training\.learningRate: unknown key; allowed here: rounds, stepsPerRound/ },
  { id: 'a task twice', from: '    - { name: sex', to: '    - { name: sex', says: /a second task 'ill'/, more: '  - { id: ill, kind: classes, column: x, above: 1 }\n' },
  { id: 'scenes with files', from: 'name: clinic', to: 'name: clinic\nscenes: {}', says: /has no files/ }
] as Array<{ id: string, from: string, to: string, says: RegExp, more?: string }>) {
  test(`manifest: ${id} is one line with its place`, (t) => {
    const text = good.replace(from, to) + (more ?? '')
    const err = t.throws(() => parseManifest(text, 'fmtl.yaml'), { instanceOf: DataError, message: says })
    t.false(err?.message.includes('\n'))
    t.truthy(err?.next)
  })
}

test('manifest: a list that refers to itself many times over is refused', (t) => {
  const bomb = `a: &a [x, x, x, x, x, x, x, x, x]\n${'bcdefgh'.split('').map((k, i) => `${k}: &${k} [${Array(9).fill(`*${'abcdefgh'[i]}`).join(', ')}]`).join('\n')}\n`
  t.throws(() => parseManifest(bomb, 'fmtl.yaml'), { instanceOf: DataError })
})
