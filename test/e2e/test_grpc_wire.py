"""gRPC and HTTP/2 on the port of HTTP/1, with clients that are not ours."""
import concurrent.futures
import shutil
import subprocess

import grpc
import pytest

from harness import request, wait_for

PATH = "/nobody.Here/Fly"


def unary(channel, path=PATH):
    """A call of bytes for bytes, without any generated code."""
    return channel.unary_unary(path, request_serializer=bytes, response_deserializer=bytes)


def outcome(channel, message=b"", path=PATH, **options):
    with pytest.raises(grpc.RpcError) as e:
        unary(channel, path)(message, timeout=10, **options)
    return e.value.code(), e.value.details()


def test_unknown_services_are_unimplemented(single):
    with grpc.insecure_channel(f"127.0.0.1:{single.port}") as channel:
        assert outcome(channel) == (grpc.StatusCode.UNIMPLEMENTED, "unknown service nobody.Here")
        assert outcome(channel, b"x" * 1000, compression=grpc.Compression.Gzip)[0] == \
            grpc.StatusCode.UNIMPLEMENTED


def test_many_calls_share_a_connection_and_a_port_with_http1(single):
    with grpc.insecure_channel(f"127.0.0.1:{single.port}") as channel, \
            concurrent.futures.ThreadPoolExecutor(16) as pool:
        calls = [pool.submit(outcome, channel, b"x" * n) for n in range(200)]
        assert request(single.port, "GET", "/ping").body == b"pong"
        assert {c.result()[0] for c in calls} == {grpc.StatusCode.UNIMPLEMENTED}


def test_what_is_no_grpc_is_refused(single):
    curl = shutil.which("curl")
    for arguments, expected in [([], b"405"), (["--data", "x"], b"415")]:
        done = subprocess.run([curl, "-s", "-o", "/dev/null", "-w", "%{http_version} %{http_code}",
                               "--http2-prior-knowledge", "--max-time", "10", *arguments,
                               f"http://127.0.0.1:{single.port}/ping"],
                              stdout=subprocess.PIPE, check=True, timeout=20)
        assert done.stdout == b"2 " + expected


def test_a_member_that_leaves_ends_its_connections(make_cluster):
    member = make_cluster(1)[0]
    states = []
    with grpc.insecure_channel(f"127.0.0.1:{member.port}") as channel:
        assert outcome(channel)[0] == grpc.StatusCode.UNIMPLEMENTED
        channel.subscribe(states.append)
        assert member.terminate() == 0
        wait_for(lambda: states and states[-1] != grpc.ChannelConnectivity.READY,
                 "the client knows that its connection is gone")
        assert outcome(channel)[0] == grpc.StatusCode.UNAVAILABLE
