export const PROTOCOL = '/fmtl/reach/1.0.0'
