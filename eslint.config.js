import neostandard from 'neostandard'

export default [
  { ignores: ['**/*.generated.ts', 'node_modules/**', 'dist/**'] },
  ...neostandard({ ts: true, noStyle: false }),
  { rules: { 'no-void': 'off' } }
]
