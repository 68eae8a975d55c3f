"""etcd's services as a Python gRPC client, from the .proto files that the server is built from.

    call = Api(port)
    answer = call.KV.Range(call.RangeRequest(key=b"k"))         # raises Refused(code, text)

Messages and services are found by their names in the files' descriptors; nothing is generated.
"""
import contextlib
import functools
import glob
import os
import subprocess
import tempfile

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from harness import ROOT

PROTO_DIR = os.path.join(ROOT, "src", "api", "proto")
PACKAGES = ("etcdserverpb", "mvccpb", "authpb", "v3lockpb", "v3electionpb")


class Refused(Exception):
    """An error of the API: `code` is grpc's number."""

    def __init__(self, code, text):
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text

    def __eq__(self, other):
        return isinstance(other, Refused) and (self.code, self.text) == (other.code, other.text)

    def __hash__(self):
        return hash((self.code, self.text))


@functools.lru_cache(maxsize=None)
def descriptors(directory=PROTO_DIR):
    """The FileDescriptorSet of all .proto files of a directory."""
    with tempfile.NamedTemporaryFile() as out:
        files = sorted(os.path.basename(p) for p in glob.glob(os.path.join(directory, "*.proto")))
        subprocess.run(["protoc", "-I", directory, "--include_imports",
                        "--descriptor_set_out", out.name, *files], check=True)
        return descriptor_pb2.FileDescriptorSet.FromString(out.read())


@functools.lru_cache(maxsize=None)
def pool():
    made = descriptor_pool.DescriptorPool()
    for file in descriptors().file:
        made.Add(file)
    return made


@functools.lru_cache(maxsize=None)
def message_class(full_name):
    descriptor = pool().FindMessageTypeByName(full_name)
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(descriptor)
    return message_factory.MessageFactory(pool()).GetPrototype(descriptor)


@functools.lru_cache(maxsize=None)
def message(name):
    """The class of a message by its short name, whatever package it is in."""
    for package in PACKAGES:
        with contextlib.suppress(KeyError):
            return message_class(f"{package}.{name}")
    raise AttributeError(name)


def refused(error):
    return Refused(error.code().value[0], error.details())


class Service:
    """The methods of one service as callables."""

    def __init__(self, channel, name):
        file = next(f for f in descriptors().file for s in f.service if s.name == name)
        service = next(s for s in file.service if s.name == name)
        for method in service.method:
            setattr(self, method.name,
                    self._callable(channel, f"/{file.package}.{name}/{method.name}", method))

    @staticmethod
    def _callable(channel, path, method):
        kind = {(False, False): channel.unary_unary, (False, True): channel.unary_stream,
                (True, True): channel.stream_stream}[method.client_streaming,
                                                     method.server_streaming]
        answer = message_class(method.output_type.lstrip("."))
        ask = kind(path, request_serializer=lambda m: m.SerializeToString(),
                   response_deserializer=answer.FromString)
        if method.server_streaming:
            return ask

        def unary(request, timeout=10.0, metadata=None):
            try:
                return ask(request, timeout=timeout, metadata=metadata)
            except grpc.RpcError as error:
                raise refused(error) from None
        return unary


class Api:
    """One connection to one member."""

    def __init__(self, port):
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=[
            ("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1),
            ("grpc.max_receive_message_length", -1), ("grpc.initial_reconnect_backoff_ms", 50),
            ("grpc.min_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 200)])
        for name in ("KV", "Watch", "Lease", "Cluster", "Maintenance", "Auth", "Lock", "Election"):
            setattr(self, name, Service(self.channel, name))

    def __getattr__(self, name):
        return message(name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.channel.close()
