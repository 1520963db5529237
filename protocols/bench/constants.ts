/** `charter` is the hash of the charter that the models are trained under. */
export const benchTopic = (consortium: string, charter: string): string => `fmtl/${consortium}/bench/${charter}`
