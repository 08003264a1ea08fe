# SPDX-License-Identifier: MIT
# bash completion for jobq. Flags come from `jobq help COMMAND`, ids from `jobq ls`: nothing is
# listed twice. Completing never starts a broker.

_jobq_flags()
{
    jobq help "$@" 2>/dev/null | grep -oE -- '(^| )--?[a-zA-Z0-9][a-z0-9-]*' | tr -d ' '
}

_jobq_ids()
{
    jobq --no-autostart --timeout 1s -o id ls --limit 100 "$@" 2>/dev/null
    printf 'last\n'
}

_jobq()
{
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    local command='' at word
    local -a choices=()

    COMPREPLY=()
    for ((at = 1; at < COMP_CWORD; at++)); do
        word=${COMP_WORDS[at]}
        case $word in
        -u | --url | -o | --output | --timeout) ((at++)) ;;
        -*) ;;
        *)
            command=$word
            break
            ;;
        esac
    done

    case $previous in
    -o | --output)
        mapfile -t COMPREPLY < <(compgen -W 'table json jsonl id' -- "$current")
        return
        ;;
    -C | --cwd)
        mapfile -t COMPREPLY < <(compgen -d -- "$current")
        return
        ;;
    --input | --batch)
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    -e | --env)
        mapfile -t COMPREPLY < <(compgen -v -- "$current")
        return
        ;;
    --state)
        mapfile -t COMPREPLY < <(compgen -W 'blocked delayed ready running succeeded failed
            cancelled expired skipped active ended' -- "$current")
        return
        ;;
    esac

    if [[ $current == -* ]]; then
        mapfile -t choices < <(_jobq_flags ${command:+"$command"})
    else
        case $command in
        '') choices=(submit run wait ls info logs result why cancel events stats worker broker ping
            version help) ;;
        submit | run)
            # The job's own command, and its arguments.
            mapfile -t COMPREPLY < <(compgen -c -f -- "$current")
            return
            ;;
        wait | cancel) mapfile -t choices < <(_jobq_ids --state active) ;;
        info | logs | result | why | events) mapfile -t choices < <(_jobq_ids) ;;
        worker) choices=(ls info) ;;
        broker) choices=(start status stop) ;;
        help) choices=(submit run wait ls info logs result why cancel events stats worker broker
            ping version) ;;
        esac
    fi
    mapfile -t COMPREPLY < <(compgen -W "${choices[*]}" -- "$current")
}

complete -o bashdefault -F _jobq jobq
