// Generated from ../openapi.yaml by scripts/generate-coder-types.ts. Do not edit: change the description.
export interface paths {
    "/api/v2/buildinfo": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Version of the server; needs no token. */
        get: operations["buildInfo"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v2/users/me": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Whose token this is. 401 is a bad token, 404 a token without the scope `user:read`. */
        get: operations["me"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v2/users/me/organizations": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Organizations of the caller. */
        get: operations["organizations"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v2/users/{user}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name, id or `me`. */
                user: components["parameters"]["user"];
            };
            cookie?: never;
        };
        /** A user by name or id, with their status; 404 for one the caller may not see. */
        get: operations["user"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v2/users/{user}/keys/tokens": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name, id or `me`. */
                user: components["parameters"]["user"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** A new token of the user; only a site owner may do it for others. */
        post: operations["createToken"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v2/users/{user}/workspace/{workspace}": {
        parameters: {
            query?: {
                include_deleted?: components["parameters"]["includeDeleted"];
            };
            header?: never;
            path: {
                /** @description Name, id or `me`. */
                user: components["parameters"]["user"];
                /** @description Its name. */
                workspace: string;
            };
            cookie?: never;
        };
        /** A workspace by its owner (name, id or `me`) and its name; 404 for a foreign one. */
        get: operations["workspaceByName"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v2/users/{user}/workspaces": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name, id or `me`. */
                user: components["parameters"]["user"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** A new workspace, whose first build starts at once. 409 when the owner has one of that name. */
        post: operations["createWorkspace"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v2/workspaces": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Workspaces the caller may read, filtered by `q`. */
        get: operations["workspaces"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v2/workspaces/{workspace}": {
        parameters: {
            query?: {
                include_deleted?: components["parameters"]["includeDeleted"];
            };
            header?: never;
            path: {
                workspace: components["parameters"]["workspace"];
            };
            cookie?: never;
        };
        /** A workspace by id; 404 for a foreign one, 410 for a deleted one. */
        get: operations["workspace"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v2/workspaces/{workspace}/builds": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                workspace: components["parameters"]["workspace"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Starts, stops or deletes. Even `start` on a running workspace replaces its containers. 409 while a build runs. */
        post: operations["createBuild"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v2/workspacebuilds/{workspacebuild}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                workspacebuild: string;
            };
            cookie?: never;
        };
        /** One build of a workspace. */
        get: operations["workspaceBuild"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v2/workspacebuilds/{workspacebuild}/parameters": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                workspacebuild: string;
            };
            cookie?: never;
        };
        /** What the owner chose for this build; parameters the template does not have are left out. */
        get: operations["workspaceBuildParameters"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v2/authcheck": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** What the calling token may do, scopes applied. At most 10 resource ids; an unknown object answers false. */
        post: operations["authCheck"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v2/files": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Stores an archive. 200 instead of 201 when this user uploaded the same bytes before. 12 a minute. */
        post: operations["uploadFile"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v2/files/{file}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                file: string;
            };
            cookie?: never;
        };
        /** The bytes of an uploaded archive, as tar; 404 for who may not read it. 12 a minute. */
        get: operations["downloadFile"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v2/organizations/{organization}/templateversions": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name, id or `default`. */
                organization: components["parameters"]["organization"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Imports an uploaded archive as a version; poll it until its job has ended. */
        post: operations["createTemplateVersion"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v2/templateversions/{templateversion}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                templateversion: components["parameters"]["templateversion"];
            };
            cookie?: never;
        };
        /** A version with the state of its import job. */
        get: operations["templateVersion"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v2/templateversions/{templateversion}/variables": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                templateversion: string;
            };
            cookie?: never;
        };
        /** What the admin set for a version. 403 while its import runs. */
        get: operations["templateVersionVariables"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v2/templateversions/{templateversion}/logs": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                templateversion: components["parameters"]["templateversion"];
            };
            cookie?: never;
        };
        /** What the import said so far, after the line with this id. */
        get: operations["templateVersionLogs"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v2/templateversions/{templateversion}/presets": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                templateversion: components["parameters"]["templateversion"];
            };
            cookie?: never;
        };
        /** Its presets; null where it has none, or is not imported yet. */
        get: operations["templateVersionPresets"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v2/templateversions/{templateversion}/dynamic-parameters/evaluate": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                templateversion: components["parameters"]["templateversion"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** The parameter form as this owner would see it with these inputs. 425 while the import runs. */
        post: operations["evaluateForm"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v2/templates": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Templates of every organization that the caller may read, filtered by `q`. */
        get: operations["templates"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v2/organizations/{organization}/templates": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name, id or `default`. */
                organization: components["parameters"]["organization"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** A new template from a version that belongs to none. 409 when the name is taken. */
        post: operations["createTemplate"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v2/organizations/{organization}/templates/{template}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name, id or `default`. */
                organization: components["parameters"]["organization"];
                /** @description Its name. */
                template: string;
            };
            cookie?: never;
        };
        /** A template by name. */
        get: operations["templateByName"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v2/templates/{template}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                template: components["parameters"]["template"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        /** Changes the metadata that is sent. */
        patch: operations["updateTemplate"];
        trace?: never;
    };
    "/api/v2/templates/{template}/versions": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                template: components["parameters"]["template"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        /** Makes a version of this template the active one. 403 for one whose import failed. */
        patch: operations["activateTemplateVersion"];
        trace?: never;
    };
}
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        Message: {
            message: string;
            detail?: string | null;
            validations?: {
                field: string;
                detail: string;
            }[] | null;
        };
        BuildInfo: {
            version: string;
            dashboard_url?: string | null;
            external_url?: string | null;
            deployment_id?: string | null;
            agent_api_version?: string | null;
            provisioner_api_version?: string | null;
        };
        User: {
            /** Format: uuid */
            id: string;
            username: string;
            /** @description The full name; absent where none was given. */
            name?: string | null;
            email?: string | null;
            /** @description active, dormant, suspended */
            status?: string | null;
            login_type?: string | null;
            organization_ids?: string[] | null;
            roles?: {
                name: string;
                display_name?: string | null;
            }[] | null;
        };
        Organization: {
            /** Format: uuid */
            id: string;
            name: string;
            display_name?: string | null;
            is_default?: boolean | null;
        };
        CreateTokenRequest: {
            token_name?: string;
            /** @description In nanoseconds. */
            lifetime?: number;
            scopes?: string[];
            /** @description Each `type:id`; a narrowed list breaks listing workspaces. */
            allow_list?: string[];
        };
        CreatedToken: {
            key: string;
        };
        WorkspaceList: {
            workspaces: components["schemas"]["Workspace"][] | null;
            count: number;
        };
        Workspace: {
            /** Format: uuid */
            id: string;
            name: string;
            /** Format: uuid */
            owner_id: string;
            owner_name: string;
            /** Format: uuid */
            organization_id: string;
            organization_name: string;
            /** Format: uuid */
            template_id: string;
            template_name: string;
            template_active_version_id?: string | null;
            outdated?: boolean | null;
            dormant_at?: string | null;
            last_used_at?: string | null;
            ttl_ms?: number | null;
            latest_build: components["schemas"]["WorkspaceBuild"];
        };
        WorkspaceBuild: {
            /** Format: uuid */
            id: string;
            /** Format: uuid */
            workspace_id: string;
            workspace_name?: string | null;
            build_number: number;
            /** @description start, stop, delete */
            transition: string;
            /** @description pending, starting, running, stopping, stopped, failed, canceling, canceled, deleting, deleted */
            status: string;
            reason?: string | null;
            initiator_id?: string | null;
            initiator_name?: string | null;
            /** Format: uuid */
            template_version_id: string;
            template_version_name?: string | null;
            deadline?: string | null;
            job: components["schemas"]["ProvisionerJob"];
            resources?: components["schemas"]["WorkspaceResource"][] | null;
        };
        ProvisionerJob: {
            /** Format: uuid */
            id: string;
            /** @description pending, running, succeeded, canceling, canceled, failed, unknown */
            status: string;
            /** @description The archive it works on. */
            file_id?: string | null;
            error?: string | null;
            /** @description REQUIRED_TEMPLATE_VARIABLES, INSUFFICIENT_QUOTA */
            error_code?: string | null;
            created_at?: string | null;
            started_at?: string | null;
            completed_at?: string | null;
            queue_position?: number | null;
            queue_size?: number | null;
        };
        WorkspaceResource: {
            /** Format: uuid */
            id: string;
            type: string;
            name: string;
            agents?: components["schemas"]["WorkspaceAgent"][] | null;
        };
        WorkspaceAgent: {
            /** Format: uuid */
            id: string;
            name: string;
            /** @description connecting, connected, disconnected, timeout */
            status: string;
            /** @description created, starting, start_timeout, start_error, ready, shutting_down, shutdown_timeout, shutdown_error, off */
            lifecycle_state: string;
            version?: string | null;
            ready_at?: string | null;
            apps?: components["schemas"]["WorkspaceApp"][] | null;
        };
        WorkspaceApp: {
            /** Format: uuid */
            id: string;
            slug: string;
            url?: string | null;
            /** @description disabled, initializing, healthy, unhealthy */
            health: string;
            sharing_level?: string | null;
            subdomain?: boolean | null;
            subdomain_name?: string | null;
        };
        CreateWorkspaceRequest: {
            /** @description Letters, digits and single hyphens between them. */
            name: string;
            /**
             * Format: uuid
             * @description Of which the active version is built.
             */
            template_id: string;
            rich_parameter_values?: components["schemas"]["NamedValue"][];
        };
        CreateBuildRequest: {
            /** @enum {string} */
            transition: "start" | "stop" | "delete";
            /** Format: uuid */
            template_version_id?: string;
            rich_parameter_values?: components["schemas"]["NamedValue"][];
            /** @enum {string} */
            reason?: "dashboard" | "cli" | "ssh_connection" | "vscode_connection" | "jetbrains_connection";
        };
        NamedValue: {
            name: string;
            value: string;
        };
        AuthCheckRequest: {
            checks: {
                [key: string]: {
                    action: string;
                    object: {
                        resource_type: string;
                        /** Format: uuid */
                        resource_id?: string;
                        owner_id?: string;
                        organization_id?: string;
                        any_org?: boolean;
                    };
                };
            };
        };
        AuthCheckAnswer: {
            [key: string]: boolean;
        };
        UploadedFile: {
            /**
             * Format: uuid
             * @description The id of the file, in spite of its name.
             */
            hash: string;
        };
        CreateTemplateVersionRequest: {
            name?: string;
            message?: string;
            /** Format: uuid */
            template_id?: string;
            /** @constant */
            storage_method: "file";
            /** Format: uuid */
            file_id: string;
            /** @constant */
            provisioner: "terraform";
            tags: {
                [key: string]: string;
            };
            user_variable_values?: components["schemas"]["NamedValue"][];
        };
        TemplateVersion: {
            /** Format: uuid */
            id: string;
            /** @description All zeros while it belongs to no template. */
            template_id?: string | null;
            organization_id?: string | null;
            name: string;
            message?: string | null;
            readme?: string | null;
            archived?: boolean | null;
            job: components["schemas"]["ProvisionerJob"];
        };
        TemplateVersionVariable: {
            name: string;
            description?: string | null;
            /** @description Terraform type, such as list(string). */
            type?: string | null;
            /** @description Text for a string, otherwise JSON or HCL as it was given; `*redacted*` where sensitive. */
            value: string;
            default_value?: string | null;
            required?: boolean | null;
            sensitive: boolean;
        };
        JobLog: {
            id: number;
            /** @description trace, debug, info, warn, error */
            log_level?: string | null;
            stage?: string | null;
            /** @description Empty where a stage begins; may hold several lines. */
            output: string;
        };
        /** @description With capitalised keys, as Coder sends them. */
        Preset: {
            /** Format: uuid */
            ID: string;
            Name: string;
            Default?: boolean | null;
            Parameters?: {
                Name: string;
                Value: string;
            }[] | null;
        };
        EvaluateFormRequest: {
            id?: number;
            inputs: {
                [key: string]: string;
            };
            /**
             * Format: uuid
             * @description Without it the answer is an error.
             */
            owner_id: string;
        };
        Diagnostic: {
            /** @description error, warning */
            severity: string;
            summary: string;
            detail?: string | null;
        };
        FormParameter: {
            name: string;
            form_type?: string | null;
            value?: {
                value?: string | null;
                valid?: boolean | null;
            } | null;
            diagnostics?: components["schemas"]["Diagnostic"][] | null;
        };
        Form: {
            diagnostics?: components["schemas"]["Diagnostic"][] | null;
            parameters?: components["schemas"]["FormParameter"][] | null;
        };
        CreateTemplateRequest: {
            name: string;
            /** Format: uuid */
            template_version_id: string;
            display_name?: string;
            description?: string;
            icon?: string;
        };
        /** @description Before coder/coder pull request 24984 a number or boolean left out was set to 0 or false. */
        UpdateTemplateRequest: {
            name?: string;
            display_name?: string;
            description?: string;
            icon?: string;
            default_ttl_ms?: number;
            activity_bump_ms?: number;
            time_til_autostop_notify_ms?: number;
            failure_ttl_ms?: number;
            time_til_dormant_ms?: number;
            time_til_dormant_autodelete_ms?: number;
            allow_user_autostart?: boolean;
            allow_user_autostop?: boolean;
            allow_user_cancel_workspace_jobs?: boolean;
            require_active_version?: boolean;
        };
        Template: {
            /** Format: uuid */
            id: string;
            name: string;
            display_name?: string | null;
            description?: string | null;
            icon?: string | null;
            /** Format: uuid */
            organization_id: string;
            organization_name?: string | null;
            /** Format: uuid */
            active_version_id: string;
            use_classic_parameter_flow?: boolean | null;
            default_ttl_ms?: number | null;
            activity_bump_ms?: number | null;
            time_til_autostop_notify_ms?: number | null;
            failure_ttl_ms?: number | null;
            time_til_dormant_ms?: number | null;
            time_til_dormant_autodelete_ms?: number | null;
            allow_user_autostart?: boolean | null;
            allow_user_autostop?: boolean | null;
            allow_user_cancel_workspace_jobs?: boolean | null;
            require_active_version?: boolean | null;
        };
        ActivateTemplateVersionRequest: {
            /** Format: uuid */
            id: string;
        };
    };
    responses: {
        /** @description Not done. A right that is missing is usually 404, sometimes 403, and for template writes 500 with the detail `rbac: forbidden`. */
        Refused: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["Message"];
            };
        };
    };
    parameters: {
        /** @description Name, id or `me`. */
        user: string;
        /** @description Name, id or `default`. */
        organization: string;
        workspace: string;
        template: string;
        templateversion: string;
        includeDeleted: boolean;
    };
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type $defs = Record<string, never>;
export interface operations {
    buildInfo: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description ok */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["BuildInfo"];
                };
            };
            default: components["responses"]["Refused"];
        };
    };
    me: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description ok */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["User"];
                };
            };
            default: components["responses"]["Refused"];
        };
    };
    organizations: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description ok */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Organization"][] | null;
                };
            };
            default: components["responses"]["Refused"];
        };
    };
    user: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name, id or `me`. */
                user: components["parameters"]["user"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description ok */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["User"];
                };
            };
            default: components["responses"]["Refused"];
        };
    };
    createToken: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name, id or `me`. */
                user: components["parameters"]["user"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["CreateTokenRequest"];
            };
        };
        responses: {
            /** @description created */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["CreatedToken"];
                };
            };
            default: components["responses"]["Refused"];
        };
    };
    workspaceByName: {
        parameters: {
            query?: {
                include_deleted?: components["parameters"]["includeDeleted"];
            };
            header?: never;
            path: {
                /** @description Name, id or `me`. */
                user: components["parameters"]["user"];
                /** @description Its name. */
                workspace: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description ok */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Workspace"];
                };
            };
            default: components["responses"]["Refused"];
        };
    };
    createWorkspace: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name, id or `me`. */
                user: components["parameters"]["user"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["CreateWorkspaceRequest"];
            };
        };
        responses: {
            /** @description created */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Workspace"];
                };
            };
            default: components["responses"]["Refused"];
        };
    };
    workspaces: {
        parameters: {
            query?: {
                /** @description Terms such as `owner:me status:running`. */
                q?: string;
                limit?: number;
                offset?: number;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description ok */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["WorkspaceList"];
                };
            };
            default: components["responses"]["Refused"];
        };
    };
    workspace: {
        parameters: {
            query?: {
                include_deleted?: components["parameters"]["includeDeleted"];
            };
            header?: never;
            path: {
                workspace: components["parameters"]["workspace"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description ok */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Workspace"];
                };
            };
            default: components["responses"]["Refused"];
        };
    };
    createBuild: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                workspace: components["parameters"]["workspace"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["CreateBuildRequest"];
            };
        };
        responses: {
            /** @description created */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["WorkspaceBuild"];
                };
            };
            default: components["responses"]["Refused"];
        };
    };
    workspaceBuild: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                workspacebuild: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description ok */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["WorkspaceBuild"];
                };
            };
            default: components["responses"]["Refused"];
        };
    };
    workspaceBuildParameters: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                workspacebuild: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description ok */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["NamedValue"][] | null;
                };
            };
            default: components["responses"]["Refused"];
        };
    };
    authCheck: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["AuthCheckRequest"];
            };
        };
        responses: {
            /** @description ok */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["AuthCheckAnswer"];
                };
            };
            default: components["responses"]["Refused"];
        };
    };
    uploadFile: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/x-tar": string;
                "application/zip": string;
            };
        };
        responses: {
            /** @description known */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["UploadedFile"];
                };
            };
            /** @description created */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["UploadedFile"];
                };
            };
            default: components["responses"]["Refused"];
        };
    };
    downloadFile: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                file: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description the archive */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/x-tar": string;
                };
            };
            default: components["responses"]["Refused"];
        };
    };
    createTemplateVersion: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name, id or `default`. */
                organization: components["parameters"]["organization"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["CreateTemplateVersionRequest"];
            };
        };
        responses: {
            /** @description created */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["TemplateVersion"];
                };
            };
            default: components["responses"]["Refused"];
        };
    };
    templateVersion: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                templateversion: components["parameters"]["templateversion"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description ok */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["TemplateVersion"];
                };
            };
            default: components["responses"]["Refused"];
        };
    };
    templateVersionVariables: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                templateversion: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description ok */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["TemplateVersionVariable"][] | null;
                };
            };
            default: components["responses"]["Refused"];
        };
    };
    templateVersionLogs: {
        parameters: {
            query?: {
                after?: number;
            };
            header?: never;
            path: {
                templateversion: components["parameters"]["templateversion"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description ok */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["JobLog"][] | null;
                };
            };
            default: components["responses"]["Refused"];
        };
    };
    templateVersionPresets: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                templateversion: components["parameters"]["templateversion"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description ok */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Preset"][] | null;
                };
            };
            default: components["responses"]["Refused"];
        };
    };
    evaluateForm: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                templateversion: components["parameters"]["templateversion"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["EvaluateFormRequest"];
            };
        };
        responses: {
            /** @description ok */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Form"];
                };
            };
            default: components["responses"]["Refused"];
        };
    };
    templates: {
        parameters: {
            query?: {
                /** @description Terms such as `exact_name:docker`. */
                q?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description ok */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Template"][] | null;
                };
            };
            default: components["responses"]["Refused"];
        };
    };
    createTemplate: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name, id or `default`. */
                organization: components["parameters"]["organization"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["CreateTemplateRequest"];
            };
        };
        responses: {
            /** @description created */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Template"];
                };
            };
            default: components["responses"]["Refused"];
        };
    };
    templateByName: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name, id or `default`. */
                organization: components["parameters"]["organization"];
                /** @description Its name. */
                template: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description ok */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Template"];
                };
            };
            default: components["responses"]["Refused"];
        };
    };
    updateTemplate: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                template: components["parameters"]["template"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["UpdateTemplateRequest"];
            };
        };
        responses: {
            /** @description ok */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Template"];
                };
            };
            default: components["responses"]["Refused"];
        };
    };
    activateTemplateVersion: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                template: components["parameters"]["template"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["ActivateTemplateVersionRequest"];
            };
        };
        responses: {
            /** @description ok */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Message"];
                };
            };
            default: components["responses"]["Refused"];
        };
    };
}
