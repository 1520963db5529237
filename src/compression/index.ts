export { CODECS, MAX_ELEMENTS, decode, encode, encodeInto, encodedBytes } from './codecs.ts'
export { INT8_BLOCK } from './int8.ts'
export { packUnits, packedBytes, unpackUnits } from './units.ts'
export type { CodecName } from './codecs.ts'
