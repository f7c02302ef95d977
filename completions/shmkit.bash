# bash completion for shmkit(1)                           -*- shell-script -*-
# SPDX-License-Identifier: MIT
#
# Installed as bash-completion/completions/shmkit.  Needs nothing but bash.
# The words below are checked against `shmkit COMMAND --help` by a test.

# Names of blocks that start with $1.  -o name escapes odd bytes so that
# printf '%b' has them back; such names are then quoted for the shell.
_shmkit_names()
{
    local line name

    while IFS= read -r line; do
        printf -v name '%b' "$line"
        [[ $name == "$1"* ]] && COMPREPLY+=("$(printf '%q' "$name")")
    done < <(shmkit ls --noheadings -o name 2>/dev/null)
}

_shmkit_words()
{
    local word

    while IFS= read -r word; do
        COMPREPLY+=("$word")
    done < <(compgen -W "$2" -- "$1")
}

_shmkit_files()
{
    local file

    while IFS= read -r file; do
        COMPREPLY+=("$file")
    done < <(compgen -f -- "$1")
    compopt -o filenames 2>/dev/null
}

# The columns of -o: complete what follows the last comma.
_shmkit_columns()
{
    local columns='name size resident huge mode owner group uid gid lifetime
        state family age birth inode dtype shape label holders'
    local before=

    [[ $1 == *,* ]] && before=${1%,*},
    _shmkit_words "${1##*,}" "$columns"
    COMPREPLY=("${COMPREPLY[@]/#/$before}")
    compopt -o nospace 2>/dev/null
}

_shmkit_options()
{
    case $1 in
    create) echo '-s --size -t --lifetime -m --mode -e --exist-ok
                  -S --sparse -p --prefault -H --huge -N --no-huge
                  -l --lock -n --numa -h --help' ;;
    ls) echo '-o --output -J --json -b --bytes -n --noheadings -h --help' ;;
    stat) echo '-o --output -J --json -b --bytes -h --help' ;;
    cat) echo '-a --offset -l --length -h --help' ;;
    write) echo '-a --offset -h --help' ;;
    rm) echo '-f --force -q --quiet -h --help' ;;
    gc) echo '-n --dry-run -q --quiet -h --help' ;;
    *) echo '-V --version -h --help' ;;
    esac
}

# The value of option $2 of command $1, of which $3 is typed.
_shmkit_value()
{
    case $1:$2 in
    create:-t | create:--lifetime)
        _shmkit_words "$3" 'persistent holders family' ;;
    create:-n | create:--numa)
        _shmkit_words "$3" 'bind: interleave:'
        compopt -o nospace 2>/dev/null ;;
    ls:-o | ls:--output | stat:-o | stat:--output)
        _shmkit_columns "$3" ;;
    create:-s | create:--size | create:-m | create:--mode) ;;
    cat:-a | cat:--offset | cat:-l | cat:--length) ;;
    write:-a | write:--offset) ;;
    *) return 1 ;;
    esac
    return 0 # whatever compopt said
}

_shmkit()
{
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
    local command=${COMP_WORDS[1]} i

    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        _shmkit_words "$cur" "create ls stat cat write rm gc
            $(_shmkit_options '')"
        return
    fi
    # bash splits --lifetime=h into three words at the sign.
    if [[ $cur == '=' ]]; then
        cur=
    elif [[ $prev == '=' ]]; then
        prev=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    _shmkit_value "$command" "$prev" "$cur" && return
    if [[ $command == create ]]; then
        for ((i = 2; i < COMP_CWORD; i++)); do
            if [[ ${COMP_WORDS[i]} == -- ]]; then
                _shmkit_files "$cur" # COMMAND and its arguments
                return
            fi
        done
    fi
    if [[ $cur == -* ]]; then
        _shmkit_words "$cur" "$(_shmkit_options "$command")"
        return
    fi
    case $command in
    ls | stat | cat | rm) _shmkit_names "$cur" ;;
    write)
        _shmkit_names "$cur"
        ((COMP_CWORD > 2)) && _shmkit_files "$cur"
        ;;
    esac
}

complete -F _shmkit shmkit
