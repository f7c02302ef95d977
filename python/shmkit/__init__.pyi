from multiprocessing import AuthenticationError as AuthenticationError
from multiprocessing import BufferTooShort as BufferTooShort
from multiprocessing import Pipe as Pipe
from multiprocessing import Process as Process
from multiprocessing import ProcessError as ProcessError
from multiprocessing import TimeoutError as TimeoutError
from multiprocessing import active_children as active_children
from multiprocessing import allow_connection_pickling as allow_connection_pickling
from multiprocessing import cpu_count as cpu_count
from multiprocessing import current_process as current_process
from multiprocessing import freeze_support as freeze_support
from multiprocessing import get_all_start_methods as get_all_start_methods
from multiprocessing import get_logger as get_logger
from multiprocessing import log_to_stderr as log_to_stderr
from multiprocessing import parent_process as parent_process
from multiprocessing import set_executable as set_executable
from multiprocessing import set_forkserver_preload as set_forkserver_preload
from multiprocessing import process as process
from multiprocessing import reduction as reducer
from shmkit.arrays import attach as attach
from shmkit.arrays import from_array as from_array
from shmkit.arrays import ndarray as ndarray

from shmkit import context as context
from shmkit._replace import install as install
from shmkit.synchronize import OwnerDiedError as OwnerDiedError
from shmkit.synchronize import OwnerDiedWarning as OwnerDiedWarning

__all__ = [
    "Array",
    "AuthenticationError",
    "Barrier",
    "BoundedSemaphore",
    "BufferTooShort",
    "Condition",
    "Event",
    "JoinableQueue",
    "Lock",
    "Manager",
    "Pipe",
    "Pool",
    "Process",
    "ProcessError",
    "Queue",
    "RLock",
    "RawArray",
    "RawValue",
    "Semaphore",
    "SimpleQueue",
    "TimeoutError",
    "Value",
    "active_children",
    "allow_connection_pickling",
    "cpu_count",
    "current_process",
    "freeze_support",
    "get_all_start_methods",
    "get_context",
    "get_logger",
    "get_start_method",
    "log_to_stderr",
    "parent_process",
    "reducer",
    "set_executable",
    "set_forkserver_preload",
    "set_start_method",
    "RWLock",
]

Lock = context._default_context.Lock
RLock = context._default_context.RLock
RWLock = context._default_context.RWLock
Condition = context._default_context.Condition
Semaphore = context._default_context.Semaphore
BoundedSemaphore = context._default_context.BoundedSemaphore
Event = context._default_context.Event
Barrier = context._default_context.Barrier
Queue = context._default_context.Queue
JoinableQueue = context._default_context.JoinableQueue
SimpleQueue = context._default_context.SimpleQueue
Pool = context._default_context.Pool
Manager = context._default_context.Manager
Value = context._default_context.Value
Array = context._default_context.Array
RawValue = context._default_context.RawValue
RawArray = context._default_context.RawArray
get_context = context._default_context.get_context
get_start_method = context._default_context.get_start_method
set_start_method = context._default_context.set_start_method

__version__: str

def __dir__() -> list[str]: ...
