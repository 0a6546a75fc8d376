target "default" {
 platforms = [BAKE_LOCAL_PLATFORM]
 context = BAKE_CMD_CONTEXT
}
