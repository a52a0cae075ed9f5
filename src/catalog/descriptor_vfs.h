/* How SQLite reads a file that is open already. Its own VFS opens nothing but paths, without following
 * a last link, such as a descriptor's in /proc is; and at a path another file may lie by now. */
#ifndef RBC_CATALOG_DESCRIPTOR_VFS_H
#define RBC_CATALOG_DESCRIPTOR_VFS_H

/* The name of a VFS that is SQLite's own, but for databases whose URI says "fd=7": these read what is
 * open as descriptor 7, take no locks and refuse to write. The descriptor is borrowed for as long as
 * the connection lasts, and may serve several. */
const char *rbc__descriptor_vfs(void);

#endif
