import { writeMemberList } from "./messages/maintenance.ts";
import { unary, type Method } from "./method.ts";
import { encode } from "./proto/proto-writer.ts";
import { RpcError } from "./rpc-error.ts";
import type { ServiceContext } from "./service-context.ts";

const UNAVAILABLE = ["MemberAdd", "MemberRemove", "MemberUpdate", "MemberPromote"];

/** etcdserverpb.Cluster: one member that cannot be changed through this API. */
export function clusterService(context: ServiceContext): [string, Method][] {
  const list = () => {
    const header = context.header(context.store.currentRevision);
    return Promise.resolve(encode((writer) => writeMemberList(writer, header, context.member)));
  };
  return [
    unary("/etcdserverpb.Cluster/MemberList", list),
    ...UNAVAILABLE.map((name) =>
      unary(`/etcdserverpb.Cluster/${name}`, () => Promise.reject(RpcError.unimplemented(name))),
    ),
  ];
}
