"""Calls the component hello/greeter with nothing but ZeroMQ and protobuf; docs/wire.md says why this works.

    python3 client.py tcp://127.0.0.1:7000 Ada
"""

import secrets
import sys

import zmq
from hello_pb2 import HelloReply, HelloRequest
from monofil.wire_pb2 import CALL, FAILURE, REPLY, Frame, OutcomeKind, Record

socket = zmq.Context().socket(zmq.DEALER)
socket.linger = 0
socket.connect(sys.argv[1])

call = Record(kind=CALL, id=1, target="hello/greeter", method="hello.Greeter/SayHello")
call.payload = HelloRequest(name=sys.argv[2]).SerializeToString()
call.remaining_micros = 5_000_000
# No hello and no numbers: each record arrives at most once, and is answered on this connection.
frame = Frame(version=1, sender=secrets.token_bytes(16), sender_incarnation=1, records=[call])
socket.send(frame.SerializeToString())

while socket.poll(timeout=5_000):
    for record in Frame.FromString(socket.recv()).records:  # an answer has the id of its call
        if record.id == call.id and record.kind == REPLY:
            print(HelloReply.FromString(record.payload).text)
            sys.exit()
        if record.id == call.id and record.kind == FAILURE:
            sys.exit(f"{OutcomeKind.Name(record.outcome.kind)}: {record.outcome.message}")
sys.exit("no answer within 5 s")
