import { foundationCompliance } from '../compliance/foundation.ts'

await foundationCompliance('tensorflow', 'compiled')
