import { foundationCompliance } from '../compliance/foundation.ts'

await foundationCompliance('wasm', 'eager')
