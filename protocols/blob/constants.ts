export const PROTOCOL = '/fmtl/blob/1.0.0'
