// AssemblyScript's integer types, so that tsc can read the layout files that the guest and the host share.
declare type i32 = number
declare type u32 = number
