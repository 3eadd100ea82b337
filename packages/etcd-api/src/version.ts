/**
 * The etcd release whose behaviour is offered. kube-apiserver asks for watch progress from 3.5.13 on; 3.7 would
 * promise RangeStream.
 */
export const ETCD_VERSION = "3.6.11";
export const STORAGE_VERSION = "3.6.0";
