import { decodeMemberId, writeMemberList } from "./messages/maintenance.ts";
import { unary, type Method } from "./method.ts";
import { encode } from "./proto/proto-writer.ts";
import { Code, RpcError } from "./rpc-error.ts";
import type { ServiceContext } from "./service-context.ts";

/** etcdserverpb.Cluster: one member that cannot be changed through this API. */
export function clusterService(context: ServiceContext): [string, Method][] {
  const header = () => context.header(context.store.currentRevision);
  const list = async () => Promise.resolve(encode((writer) => writeMemberList(writer, header(), context.member)));
  const refuse = (name: string, why: () => RpcError) =>
    unary(`/etcdserverpb.Cluster/${name}`, async (bytes) => {
      const isKnown = decodeMemberId(bytes) === header().memberId;
      return Promise.reject(isKnown ? why() : new RpcError(Code.notFound, "etcdserver: member not found"));
    });
  return [
    unary("/etcdserverpb.Cluster/MemberList", list),
    unary("/etcdserverpb.Cluster/MemberAdd", async () => Promise.reject(RpcError.unimplemented("MemberAdd"))),
    refuse("MemberUpdate", () => RpcError.unimplemented("MemberUpdate")),
    refuse("MemberPromote", () => RpcError.failedPrecondition("can only promote a learner member")),
    refuse("MemberRemove", () =>
      RpcError.failedPrecondition("re-configuration failed due to not enough started members"),
    ),
  ];
}
