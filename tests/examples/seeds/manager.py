# SPDX-License-Identifier: MIT
"""The manager, of "Shared Memory and Ctypes", the word multiprocessing replaced."""

import shmkit


def worker(shared_dict, shared_list):
    """Worker modifies shared data structures."""
    shared_dict['worker_result'] = 42
    shared_list.append('item from worker')


if __name__ == "__main__":
    with shmkit.Manager() as manager:
        shared_dict = manager.dict()
        shared_list = manager.list()

        p = shmkit.Process(target=worker, args=(shared_dict, shared_list))
        p.start()
        p.join()

        print(shared_dict)  # {'worker_result': 42}
        print(list(shared_list))  # ['item from worker']
